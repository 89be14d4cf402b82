"""Licences as SPDX expressions (https://spdx.org/licenses): as stated by the user, or not stated; never guessed."""

from collections.abc import Mapping

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from exporters.core.errors import UsageError

NOT_STATED = "not stated"

CODE_LICENCE = "Apache-2.0"
"""Of this project's code, the example in a model card included."""

# https://huggingface.co/docs/hub/repositories-licenses, as far as its identifiers are those of SPDX in lower case.
_HUB = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gpl-2.0 gpl-3.0 isc lgpl-2.1
    lgpl-3.0 lppl-1.3c mit mpl-2.0 ms-pl ncsa ofl-1.1 osl-3.0 postgresql unlicense wtfpl zlib
    """.split()  # noqa: SIM905 - a list of 54 quoted words reads worse
)


def check_licence(text: str) -> str:
    """An SPDX identifier or expression as SPDX spells it, such as `CC-BY-NC-4.0` or `MIT OR Apache-2.0`.

    Raises:
        UsageError: SPDX knows no such licence. What has none there is `LicenseRef-` and a name of one's own.
    """
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression as error:
        raise UsageError(
            f"licence {text!r}: not an SPDX identifier",
            remedy="https://spdx.org/licenses has them; one of your own is called LicenseRef-<name>. If you do not "
            f"know the licence, leave it out: it is then recorded as '{NOT_STATED}'.",
        ) from error


def check_licences(licences: Mapping[str, str | None]) -> dict[str, str | None]:
    """Each part's licence checked; None stays None, "not stated"."""
    return {part: None if licence is None else check_licence(licence) for part, licence in licences.items()}


def hub_licence(licence: str | None) -> dict[str, str]:
    """The licence as the metadata of a Hugging Face model card have it; `unknown` where it is not stated."""
    if licence is None:
        return {"license": "unknown"}
    identifier = licence.lower().removesuffix("-only")
    return {"license": identifier} if identifier in _HUB else {"license": "other", "license_name": licence.lower()}
