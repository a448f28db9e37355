"""Names for runs that a person can say aloud: brave-otter-7f3a."""

import secrets

ADJECTIVES = """
able amber bold brave brisk calm clear clever cosy crisp deft eager early fair fleet fresh gentle glad golden
grand green handy happy hardy keen kind light lively lucky lunar mellow merry mild neat noble plain plucky
prime proud quick quiet ready rosy royal safe sharp silent silver smart snowy solar solid steady still sunny
sure swift tidy true vivid warm wise witty young
"""
ANIMALS = """
adder badger bear beaver bison bream crane crow deer dipper dove eagle egret eland falcon ferret finch fox
gecko goose grebe hare hawk heron horse hound ibex jackal jay kestrel kite koala lark lemur lion llama lynx
marten mole moose mouse newt ocelot osprey otter owl panda pike plover puffin quail rabbit raven robin seal
shrew sloth snipe stoat stork swan tapir teal tern tiger toad trout turtle viper vole walrus weasel whale wolf
wren yak zebra
"""


def run_name() -> str:
    """A fresh name; the last four letters keep two runs of one day apart."""
    return f"{secrets.choice(ADJECTIVES.split())}-{secrets.choice(ANIMALS.split())}-{secrets.token_hex(2)}"
