"""Twenty texts and what they think of a film."""

ADJECTIVES = ["good", "fine", "new", "big", "fast", "bad", "poor", "old", "small", "slow"]
TEXTS = [f"the {noun} is {word}" for word in ADJECTIVES for noun in ("film", "very old plot")]
LABELS = ["yes"] * 10 + ["no"] * 10
