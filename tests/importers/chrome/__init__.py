"""Chrome JSON traces become the spans that they mean."""
