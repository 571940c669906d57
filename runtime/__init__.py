"""Takes an artifact, gives tokens: player, executor, scheduler, sampler, engine.
Never imports frontend, passes, codegen, ir, torch or transformers.
"""
