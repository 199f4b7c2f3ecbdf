"""Converts datasets from their publishers' formats to COCO's, as the published tools do."""
