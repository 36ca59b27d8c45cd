"""The training room: conversations in, a checkpoint folder out; its door is `stage.train`."""
