"""The bundle that ships: packing, manifest, verification, and the texts beside the model."""
