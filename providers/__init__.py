"""The clouds: one file each, behind the promises of `base`."""
