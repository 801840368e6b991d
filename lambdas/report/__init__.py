"""Stage three: record.json, report.pdf and the thumbnail."""
