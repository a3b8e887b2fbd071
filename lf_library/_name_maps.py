"""What ImageNet's classes are called that lie within the classes of other data sets.

Chosen by their names alone, before any score was looked at; for `lfkit.names_of`.
"""

CIFAR10_NAMES = {
    "airplane": ["airliner", "warplane", "wing"],
    "automobile": [
        "beach wagon",
        "cab",
        "convertible",
        "jeep",
        "limousine",
        "minivan",
        "Model T",
        "sports car",
    ],
    "bird": ["all birds"],
    "cat": ["all house cats"],
    "deer": ["hartebeest", "impala", "gazelle"],
    "dog": ["all dogs"],
    "frog": ["all frogs"],
    "horse": ["sorrel"],
    "ship": [
        "aircraft carrier",
        "canoe",
        "catamaran",
        "container ship",
        "fireboat",
        "gondola",
        "lifeboat",
        "liner",
        "pirate",
        "schooner",
        "speedboat",
        "submarine",
        "trimaran",
        "wreck",
        "yawl",
    ],
    "truck": [
        "fire engine",
        "garbage truck",
        "moving van",
        "pickup",
        "tow truck",
        "trailer truck",
    ],
}

CLOTHING_NAMES = {
    "dress": ["gown", "overskirt", "abaya", "kimono"],
    "hat": ["cowboy hat", "bonnet", "sombrero", "bathing cap", "shower cap"],
    "longsleeve": ["sweatshirt", "cardigan"],
    "outwear": ["trench coat", "fur coat", "poncho", "cloak"],
    "pants": ["jean"],
    "shirt": ["suit", "Windsor tie", "bow tie", "pajama"],
    "shoes": ["running shoe", "Loafer", "clog", "sandal", "cowboy boot"],
    "shorts": ["swimming trunks"],
    "skirt": ["miniskirt", "hoopskirt", "sarong"],
    "t-shirt": ["jersey"],
}
