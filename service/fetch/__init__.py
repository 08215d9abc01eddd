"""Getting the model: `mistral-api fetch`. Resumed, verified, locked, published at once or not at all."""
