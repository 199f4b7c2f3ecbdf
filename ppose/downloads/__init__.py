"""Downloads datasets from their publishers: resumes interrupted downloads, unpacks archives safely."""
