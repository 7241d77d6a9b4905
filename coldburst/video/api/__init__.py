"""The video service over HTTP: routes, status, resources."""
