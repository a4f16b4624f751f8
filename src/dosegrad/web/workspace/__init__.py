"""The planning workspace: whole patients, looked at and planned in the browser."""
