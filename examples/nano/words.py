"""The words tapeout-nano is taught with; data only, no behaviour."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ANIMALS = _words("""
ant badger bear beaver bee bird bison camel cat cow crab crow deer dog dolphin donkey duck eagle
falcon fish fox frog goat goose hare hawk horse jaguar koala lamb lion lizard llama lynx mole
monkey moose mouse octopus otter owl panda parrot pigeon pony puppy rabbit raven robin salmon
seal shark sheep snail snake spider squid swan tiger toad turtle whale wolf zebra
""")

FOODS = _words("""
apple banana bread butter cake carrot cheese cherry coffee corn cream egg fig garlic ginger grape
honey juice kiwi lemon lime mango melon milk mint noodle nut olive onion orange pasta peach pear
pepper pizza plum potato pumpkin rice salad salt soup spinach sugar tea tomato vanilla waffle
walnut yogurt
""")

THINGS = _words("""
anchor arrow bag ball barrel basket bell bench blanket boat book bottle box brick bridge broom
brush bucket button cabin camera candle canvas car card castle chain chair chalk clock cloth coat
coin comb compass cup curtain desk diamond door dress drum engine envelope feather fence flag
flute fork gate glass globe glove hammer hat helmet hook house jacket jar kettle key kite knife
ladder lamp lantern letter lock magnet map mask medal mirror mug nail needle net notebook oven
paint paper pearl pen pencil phone piano picture pillow pipe plate pocket radio ring rocket rope
ruler saddle scarf ship shirt shoe shovel sock sofa spoon stamp stove string sword table tent
ticket tool towel tower toy train tray truck tube umbrella vase violin wagon wallet watch wheel
whistle window wire
""")

NATURE = _words("""
autumn beach breeze bush canyon cave cliff cloud coast desert dune dust earth field fire flame
flower fog forest frost garden grass harbor hill ice island jungle lake leaf meadow mist moon
mountain mud oak ocean palm path pebble pine planet pond rain reef river road rock rose sand sea
seed shadow shore sky smoke snow spring star stone storm stream summer sun thunder tree tulip
valley village water wave wind winter
""")

QUALITIES = _words("""
able ancient bold brave bright broken busy calm clean clever cold cool curious dark deep dry
eager early easy empty fair fast fine fresh gentle giant glad golden good great happy hard heavy
high huge hungry icy jolly just kind large late lazy light little lonely long loud lucky mild new
nice noisy odd old open perfect plain polite proud quick quiet rapid rare ready rich rough round
rusty sad safe sharp shiny short shy silent simple sleepy slow small smart smooth soft solid
sour steep still strange strong sunny sweet swift tall tame thick thin tidy tiny tired ugly vast
warm weak wet wide wild wise young
""")

ACTIONS = _words("""
ask bake begin bring build buy call carry catch climb cook count cross cut dance draw dream drink
drive eat enter fall feel find fly follow give go grow help hide hold hope jump keep knock know
laugh learn leave lift listen look love make meet move need pack plant play pull push read rest
ride run sail say see sell send share shout show sing sit sleep smile speak stand start stay stop
swim take talk teach think throw turn use visit wait wake walk wash win wish work write
""")

WORDS = tuple(sorted({*ANIMALS, *FOODS, *THINGS, *NATURE, *QUALITIES, *ACTIONS}))
"""Every common word, in alphabetical order: what copy, reverse and sort draw from."""

FIRST_NAMES = _words("""
Adam Alice Amir Anna Ben Bianca Carl Chloe Clara Daniel David Diana Elena Emma Eric Eva Felix
Fiona Frank George Grace Hana Hugo Ida Iris Ivan Jack James Jana Julia Karim Kate Laura Leo Lily
Lina Lucas Maria Mark Marta Max Mia Milan Nadia Nina Noah Nora Olga Oliver Omar Oscar Paul Petra
Peter Rita Robert Rosa Ruth Sam Sara Simon Sofia Stella Theo Thomas Tom Vera Victor Yara Zoe
""")

LAST_NAMES = _words("""
Adams Baker Becker Brown Carter Chen Clark Cohen Cruz Davis Evans Fischer Garcia Gray Hall Hill
Ivanov Jones Kim King Klein Lee Lopez Martin Meyer Miller Moore Morris Nguyen Novak Park Patel
Perez Reed Rossi Santos Sato Silva Singh Smith Stone Tanaka Taylor Turner Walker Weber White
Wilson Wong Young
""")

CITIES = _words("""
Amsterdam Athens Bangkok Barcelona Berlin Bogota Boston Brussels Budapest Cairo Chicago
Copenhagen Dallas Delhi Denver Dublin Geneva Hamburg Hanoi Helsinki Istanbul Jakarta Kyoto Lagos
Lima Lisbon London Lyon Madrid Manila Miami Milan Montreal Moscow Munich Nairobi Naples Osaka
Oslo Paris Porto Prague Quito Riga Rome Santiago Seattle Seoul Singapore Sofia Stockholm Sydney
Tokyo Toronto Vienna Warsaw Zurich
""")

JOBS = _words("""
actor architect artist baker barber carpenter chef dentist doctor driver editor engineer farmer
firefighter gardener guard judge lawyer librarian mechanic musician nurse painter pharmacist
photographer pilot plumber poet sailor scientist singer tailor teacher translator waiter writer
""")

COLORS = _words("black blue brown gray green orange pink purple red white yellow")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _words("""
January February March April May June July August September October November December
""")
EVENTS = _words("""
meeting concert lecture party workshop wedding exhibition interview seminar dinner festival
conference class
""")
PLACES = _words("""
library museum park station theater hotel school office cafe stadium hospital market gallery
restaurant airport
""")
ROOMS = _words("kitchen bedroom bathroom garage hall office cellar attic")
LANGUAGES = _words("""
French German Spanish Italian Japanese Korean Chinese Arabic Dutch Polish Greek Turkish Swedish
""")
CURRENCIES = _words("USD EUR GBP JPY CHF SEK INR BRL")
HOBBIES = _words("""
chess tennis football painting dancing cooking fishing hiking reading singing swimming running
gardening skating sailing
""")
GOODS = _words("""
apples bananas books bottles boxes candles chairs coins cups eggs flowers lamps lemons letters
mugs oranges pears pencils pens plates shirts socks stamps tickets tomatoes towels toys umbrellas
""")
SYLLABLES = _words("""
ba be bo da de di do fa fi fo ga go ka ke ki ko la le li lo lu ma me mi mo na ne ni no pa pe po ra
re ri ro sa se si so ta te ti to tu va vi vo wa xi ya yo za ze zu
""")
COMMON = _words("""
about after again all also always and any are around away back because been before being both but
came can car children city come could country day did different do does down each earth end enough
even every example eyes face family far father few first foo bar baz food for form found four from
girl goes got had half hand has have head hear hello her here him his home how i if important in
into is it its kind left let life line list long lot made man many may me men might mother much
must my name never next night no not now number of off often on once one only or other our out over
own part people please point right same saw school second sentence set should side since so some
something soon sound study such sun than thanks that the their them then there these they thing
this those thought three through time to together too took two under until up us very want was way
we well went were what when where which while white who why will with without word world would
write year yes you your
""")
"""Everyday words that no task draws on its own."""
