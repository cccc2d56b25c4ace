from hypothesis import settings

# no assertion on wall time: a busy machine is no failure
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
