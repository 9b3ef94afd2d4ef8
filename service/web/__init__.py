"""HTTP edges: the API, the recipient-facing endpoints and the dashboard."""
