"""Twenty reviews of a film, and their opinions."""

ADJECTIVES = ["good", "fine", "new", "big", "fast", "bad", "poor", "old", "small", "slow"]
TEXTS = [f"the {noun} is {word}" for word in ADJECTIVES for noun in ("film", "very old plot")]
LABELS = ["yes"] * 10 + ["no"] * 10
