#include "rils/prepare/concepts.h"

namespace tessera::rils {
namespace {

// The names after a colon are those of the pictures: names of emoji, English, Italian and French titles of openclipart.
// After a group they are openclipart's folders. A caption can use the group's name instead of the noun.
constexpr std::string_view kTable = R"(
- table tennis, mouse scroll, water skier, cannabis leaf, note with paperclip, turkey on platter, baseball bat
- baseball glove, football pitch, corndog, slate-apple

animal : animals, unsorted
  dog : dog face, guide dog, service dog, poodle, puppy, beagle, labrador retriever, bulldog puppy, dogs, dog head
  cat : cat face, black cat, kitten, gatto cat, gattina cat, gatto nero, housecats
  monkey : monkey face, monkey head
  gorilla
  orangutan
  wolf : wolf head
  fox
  raccoon
  lion : leone
  tiger : tiger face, tigre
  leopard : cheetah
  horse : horse face, cavallo, horses
  moose
  donkey
  unicorn
  zebra
  deer : fawn
  bison
  ox : water buffalo, bull
  cow : cow face, mucca
  pig : pig face
  boar
  sheep : ewe, ram, pecora, pecorella, dall sheep ram
  goat
  camel : two-hump camel, cammello, camel head
  llama
  giraffe
  elephant : elefante, elefantone
  mammoth
  rhinoceros
  hippopotamus
  mouse : mouse face, topo
  rat
  hamster
  rabbit : rabbit face, bunny, coniglio
  squirrel : chipmunk
  beaver
  hedgehog
  bat
  bear : polar bear, orso, bears
  koala
  panda
  sloth
  otter
  skunk
  kangaroo : canguro
  badger
  frog : rana
  crocodile
  turtle
  lizard : lucertola, lucertolona, lucertolone, ramarro
  snake
  dragon : dragon face
  dinosaur : sauropod, T-Rex, dino, dinosauro, dinosaurs
bird : animals, unsorted
  bird : black bird, uccello
  turkey : tacchino
  chicken : hen, pollo
  rooster : gallo
  chick : hatching chick, baby chick, front-facing baby chick
  penguin : pinguino
  dove
  eagle : acquila, aquila
  duck : anatra, papera, rubber duck
  swan : cigno
  owl : gufo
  dodo
  flamingo
  peacock
  parrot
  goose
  seagull : gabbiano, gull
  ostrich : struzzo
sea animal : animals, unsorted
  whale : spouting whale, bluewhale, orca
  dolphin
  seal
  fish : tropical fish, blowfish, pescetto, angelfish
  shark
  octopus
  seashell : spiral shell
  jellyfish
  crab
  lobster : crawfish
  shrimp
  squid
  oyster
  seahorse
bug : animals
  snail : lumaca
  butterfly : farfalla
  ant : formica, formichina, formicona
  bee : honeybee, abeille
  beetle
  caterpillar : =bug
  ladybug : lady beetle, coccinella
  grasshopper : =cricket, cavalletta, grass hopper
  cockroach
  spider : ragno
  scorpion
  mosquito : zanzara, moschito
  fly
  worm
  dragonfly : libellula, libellule, damselfly
plant : plants, recreation/holiday, unsorted
  flower : white flower, blossom, hibiscus, fiore, flower and pot
  bouquet : bouquet of flowers, mazzo di fiori
  cherry blossom
  lotus
  rose : pink-rose
  sunflower : sun flower
  tulip
  daffodil
  seedling
  potted plant : geranium in pot
  tree : deciduous tree, albero, cartoon tree
  pine tree : evergreen tree, simple evergreen, plain tree
  christmas tree
  palm tree : palmtree
  cactus : cacuts
  clover : four leaf clover, shamrock, shamrock symbol
  maple leaf
  leaf : fallen leaf, foglie
  mushroom : toadstool
  hyacinth
fruit : food, plants
  ~grapes : grape
  melon
  watermelon : pasteque
  orange : tangerine
  lemon
  lime
  banana
  pineapple
  mango
  apple : red apple, green apple
  pear : pera
  peach : pesca
  ~cherries : cherry
  strawberry
  ~blueberries
  kiwi : kiwi fruit
  plum : prugna, la prugna, prune
  coconut
vegetable : food, plants, recreation/holiday
  tomato
  avocado
  eggplant
  potato
  carrot
  ~corn : ear of corn, corn on the cob, pannocchia di gran turco
  chili pepper : hot pepper, cayenne pepper, habanero pepper, peperoncino pepper
  bell pepper : paprika
  cucumber
  ~lettuce : leafy green
  ~broccoli
  ~garlic : aglio
  onion
  pumpkin : zucca, jack-o-lantern
  ~peas : pea pod
  chestnut
snack : food
  ~bread : baguette bread, loaf of bread
  croissant
  pretzel
  bagel
  ~pancakes : pan cakes
  waffle
  ~cheese : cheese wedge
  chicken leg : poultry leg
  steak : cut of meat
  ~bacon
  hamburger : burger
  ~french fries : fries
  pizza : pizza slice
  hot dog
  sandwich : submarine sandwich
  taco
  burrito
  fried egg : =cooking, fried eggs
  egg
  salad : green salad
  ~popcorn
  ~sushi
  ~spaghetti
  rice ball
  dumpling
  ~soup : bowl of steaming soup, steaming bowl
  muffin
dessert : food, recreation/party
  ice cream : soft ice cream, ice cream cone, shaved ice, glace, glace italienne, gelato all'italiana
  doughnut
  cookie
  cake : birthday cake, shortcake, gateau, torta
  cupcake
  pie
  chocolate bar
  candy
  lollipop
  pudding : custard, flan, pudim
drink : food
  glass of milk : milk, milk carton
  teapot
  cup of tea : teacup without handle, teacup
  cup of coffee : hot beverage, coffee, tazza di caffe
  glass of wine : wine glass, wine
  cocktail : cocktail glass, tropical drink, martini glass
  mug of beer : beer mug, beer
  bubble tea
  juice box : beverage box, apple juice box, orange juice box
  soft drink : cup with straw, soft drink in a cup, pop can
  bottle of champagne : bottle with popping cork
  ~lemonade
  baby bottle : biberon
  mug
building : buildings, unsorted, transportation
  stadium
  hut
  house : house with garden, homes clipart, small house, big house
  office building
  post office
  hospital
  bank
  hotel
  shop : convenience store
  school
  department store
  factory
  castle : chateau
  tower : tokyo tower
  church
  mosque
  synagogue
  temple : hindu temple, classical building
  tent : =camping, tenda da campeggio
  lighthouse
  igloo
  skyscraper : grattacieli grigi
vehicle : transportation, unsorted
  train : bullet train, high-speed train
  steam locomotive : =locomotive
  tram : tram car, tramway
  bus : oncoming bus, trolleybus
  minibus
  ambulance : ambulanza, ambulans
  fire engine
  police car : oncoming police car
  taxi : oncoming taxi
  car : automobile, oncoming automobile, old car, redcar, sportcar
  jeep : sport utility vehicle, hummer
  pickup truck
  truck : delivery truck, articulated lorry, big truck, small truck
  tractor : trattore
  racing car : formula one car
  motorcycle
  motor scooter
  rickshaw : auto rickshaw
  bicycle : bike, bicicletta cycle
  kick scooter
  skateboard
  wheelchair : manual wheelchair, motorized wheelchair
  sled : sledge
boat : transportation
  sailboat
  canoe
  speedboat
  cruise ship : passenger ship
  ship : the mad little ship
  ferry
  motor boat
aircraft : transportation, unsorted
  airplane : small airplane, airplane departure, airplane arrival, military airplane, plane, aircraft
  helicopter
  rocket
  flying saucer
  parachute
  satellite
  hot air balloon : pallone aerestatico
  cable car : aerial tramway, mountain cableway
  paper plane : toy paper plane
person : people, unsorted, recreation/sports
  baby
  girl
  boy
  old man : grandpa
  old woman
  doctor : health worker
  student
  teacher
  judge
  farmer
  cook
  mechanic
  office worker
  scientist
  singer
  artist
  pilot
  astronaut
  firefighter : fireman
  police officer
  detective
  guard
  ninja
  builder : construction worker, carpentiere
  prince
  princess : principessa
  bride : =woman with veil, =person with veil
  superhero
  wizard : mage
  fairy
  vampire
  mermaid
  elf
  zombie
  santa claus
  clown
  runner : =running, corridore
  swimmer : =swimming
  surfer : =surfing
  skier
  snowboarder
  cyclist : =biking, =mountain biking
  dancer : =dancing, ballerina
  climber : =climbing
  golfer : =golfing, golf driver swing
  rower : =rowing boat
  juggler : =juggling
  weightlifter : =lifting weights
piece of clothing : people, unsorted
  ~glasses
  ~sunglasses
  necktie : tie
  t-shirt : running shirt
  ~jeans
  scarf
  ~gloves
  coat : lab coat
  ~socks
  dress : vestito rosa
  kimono
  bikini
  swimsuit : one-piece swimsuit
  ~shorts : wild summer shorts
  handbag : purse, clutch bag, borsetta
  backpack
  sandal : thong sandal, woman's sandal
  sneaker : running shoe, tennis shoe
  shoe : man's shoe, flat shoe
  high heel : high-heeled shoe
  boot : hiking boot, woman's boot
  hat : woman's hat, hat clothing, fedora, adventurer hat
  top hat : tophat
  cap : billed cap, baseball cap
  graduation cap
  helmet : military helmet, rescue worker's helmet, football helmet
  crown : couronne
tool : tools, office, education, unsorted
  hammer
  axe
  pickaxe : =pick
  saw : carpentry saw, sega per legno, utensile sega
  wrench
  screwdriver
  clamp
  toolbox
  magnet : calamita
  ladder : scala doppia
  hook
  knife : kitchen knife
  ~scissors
  paintbrush : paint brush, pennello
  paint roller
  broom
  bucket
  toothbrush
  razor
  plunger
  key : old key, keyring
  padlock : =locked, =unlocked, lucchetto
  magnifying glass : magnifying glass tilted left, magnifying glass tilted right, magnifing glass
  microscope : microscopio
  telescope
  syringe : siringa
  thermometer
  compass : bussola
  scale : balance scale
  shovel : roundpointshovel
  drill
  sword : dagger, katana, longsword
  shield
  bow and arrow
  fire extinguisher
  umbrella
  stethoscope
  gear : ruota dentata
musical instrument : recreation/music, geography
  saxophone
  accordion
  guitar : acoustic guitar, electric guitar
  piano : musical keyboard
  trumpet
  violin
  banjo
  drum : long drum, war drum, djambe drum, derbouk
  ~maracas
  flute
  harp : celtic harp simple, classical harp
  cello
  french horn
  trombone
  xylophone
piece of furniture : buildings/furniture, unsorted
  chair : =seat, sedia in legno, poltrona ufficio
  couch : couch and lamp
  bed
  table : tavolo in legno
  toilet
  bathtub
  mirror
  file cabinet
device : computer, electronics, office, tools, recreation
  laptop
  computer : desktop computer, green computer
  printer : stampante
  keyboard
  computer mouse : mouse
  television : tv
  camera : camera with flash, digital camera
  video camera : camcorder, telecamera
  movie camera : cinepresa
  radio
  telephone : red telephone
  mobile phone : cellular phone, slim cell phone, sprint cell phone, handphone
  microphone : studio microphone
  ~headphones : headphone
  calculator : calcolatrice
  game controller : video game, joypad
  joystick
  fax machine
  battery
  robot
  floppy disk : floppy
  monitor : lcd monitor, crt monitor
  vacuum cleaner
clock : signs_and_symbols/clocks, office, recreation/sports, unsorted
  clock : mantelpiece clock, orologio da parete
  alarm clock
  watch
  stopwatch : cronometro
  hourglass : hourglass done, hourglass not done, sand glass, sandglass, clessidra
light : electronics, office, tools, unsorted
  light bulb : lightbulb, bulb
  candle : candela
  flashlight
  lantern : red paper lantern, red hurricane lamp
  lamp : desk lamp, diya lamp
  traffic light : vertical traffic light
ball : recreation
  soccer ball : soccer ballon, football ball
  baseball
  basketball
  volleyball : volley ball
  football : american football, rugby football
  bowling ball : blowling ball
  billiard ball : pool 8 ball, ball form
  beach ball
toy : recreation, tools, unsorted
  teddy bear : teddybear, simple teddy bear, stylized teddy bear
  yo-yo
  kite
  balloon
  puzzle piece
  doll : nesting dolls
  water pistol
  puzzle cube : rubik's cube
  die : game die
  gift : wrapped gift, pacco regalo
  toy block : unit blocks, abc blocks
office item : office, education, computer
  book : closed book, green book, blue book, orange book, old book, open book
  notebook : notebook with decorative cover, spiral notepad
  newspaper
  envelope : envelop
  scroll
  calendar : tear-off calendar, spiral calendar
  clipboard
  folder : file folder, fancy folder, blue folder
  briefcase
  pushpin : thumbtack, round pushpin
  paperclip : paper clip, clips
  pencil
  pen : ballpoint pen, fountain pen
  crayon
  ruler : straight ruler
container : containers, tools, office, buildings, transportation
  box : =package, closed box, open box, cardboard box, scatolone
  basket : cesto
  jar
  barrel : wooden barrel, oil drum
  suitcase : luggage, little tan suitcase
  bag : shopping bags, paperbag
  trash can : wastebasket, cestino vuoto
  mailbox : closed mailbox with raised flag, closed mailbox with lowered flag, open mailbox with raised flag
  shopping cart
)";

}  // namespace

const ConceptTable& ConceptTable::standard() {
  static const ConceptTable table = parse(kTable);
  return table;
}

}  // namespace tessera::rils
