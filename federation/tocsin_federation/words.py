"""The 256 words of the short authentication string: one a byte, plain, and hard to mishear for one another.

No two share their first four letters or lie closer than three letters apart. Their order is part of the
protocol.
"""

from typing import Final

WORDS: Final[tuple[str, ...]] = tuple(
    """
    acorn agent album alley amber anchor angle apron artist aspen atlas attic autumn badge baker bamboo
    banjo barrel beach belt berry bicycle biscuit bishop blanket blossom board bottle brick brush bucket
    buffalo butter cabin cactus camel canoe cargo carpet castle cavern cedar chalk chess chimney cinema
    circus clock clover cobalt coconut coffee collar compass copper cotton cousin cradle crater crayon
    cricket crystal curtain cushion daisy dancer denim desert diamond dolphin domino donkey doorbell
    duck earth echo elbow elephant emerald engine envelope evening fabric falcon family farmer feather
    fence fiddle finger flute forest fossil fountain freckle fruit galaxy garden garlic gate giant
    glacier goblet gravel guitar harbor harvest hedgehog helmet horizon hotel iceberg igloo indigo
    insect iris island ivory jaguar jelly jewel jigsaw juniper kayak keyhole kitchen kiwi knight koala
    ladder lagoon lamp lantern lemon leopard library lily linen lizard lobster lunch magnet mammal maple
    meadow mirror mitten moon mosaic muffin museum mustard napkin navy necklace needle nickel notebook
    nutmeg oasis oatmeal ocean octopus office olive onion opera orange orchid oxygen palace panda parrot
    pastry peanut pebble pelican pencil picnic pigeon pillow pirate pony potato prairie pumpkin puppet
    pyramid quarter queen quilt rabbit raccoon radio rainbow ribbon river rubber ruby sailor salad
    school scissors scooter season shepherd signal sister sketch snow soccer spider sponge stable storm
    sugar summer sunset swan syrup teapot temple tennis theater thimble thunder topaz tornado tractor
    trumpet tulip tundra tunnel turtle tuxedo umbrella unicorn vacuum vanilla village violin volcano
    voyage vulture waffle walnut weasel wheat whistle window wolf wombat yacht yogurt zebra zenith
    """.split()  # noqa: SIM905  256 lines would hide the list
)
