"""The runtime every stage uses: read a radiograph, run a model bundle, boxes, records, errors."""
