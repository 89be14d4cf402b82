"""Proof that only the student ships, at export (`audit_export`) and again from the bundle alone (`audit_bundle`)."""

from exporters.audit.entries import TINY, TINY_INTEGERS
from exporters.audit.student import audit_bundle, audit_export

__all__ = ["TINY", "TINY_INTEGERS", "audit_bundle", "audit_export"]
