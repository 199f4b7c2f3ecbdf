"""Datasets in their publishers' own formats, rewritten as COCO's as the published tools do."""
