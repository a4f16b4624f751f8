"""DICOM written: CT, structures, plan and dose of a study."""
