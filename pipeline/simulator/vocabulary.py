"""Names, words and actions of the city's people. Data only."""

from __future__ import annotations

_FIRST_NAMES = """
Jean Marie Pierre Sophie Lucie Paul Pauline Sylvie Zoé Hélène François Élise Chloé Noël Léa Jérôme Agnès
Benoît Inès Théo Anaïs Gaël Maëlle Loïc Camille Antoine Margaux Hugo Manon Louis Nadia Karim Amina Youssef
Fatou Ibrahim Aïcha Mamadou Linh Minh Mei Wei Priya Arjun Søren Åsa Jürgen Zoë José Núñez-Ana João Conceição
Siobhán Niamh Łukasz Agnieszka Đorđe Željka Ayşe Çağla Jean-Luc Marie-Ève Anne-Sophie Olga Dmitri
"""

_LAST_NAMES = """
Dupont Durand Martin Bernard Moreau Leroy Bonnet Larue Petit Roux Fontaine Lefèvre Mercier Chevalier Gauthier
Perrin Müller Schröder Weiß García Muñoz Fernández Gonçalves Araújo O'Brien O'Connor D'Angelo N'Diaye D'Arcy
L'Hermite Nguyễn Trần Phạm Traoré Diallo Keïta Benali Haddad Öztürk Yılmaz Kowalczyk Wójcik Dvořák Novák
Kovačević Ionescu Popescu Sørensen Ångström Björk Eriksson Rossi Esposito Ricci De-Luca Saint-Just Lévy Cohen
Beaumont Garnier Faure Rousseau Blanc Guérin Boyer Chauvin Delacroix Hérault Marchand Noël Picard Renaud
Tessier Vidal Wang Chen Kim Patel Singh Khan Silva Costa Baptiste Île-Rousse Ó-Súilleabháin MacLeod Smith
Taylor Brown
"""

_TENSE_WORDS = """
shouting police stop liar hate fight pushed idiot scream angry threat shut-up mine thief help crying don't!
leave broken hit enough blame insult knife run
"""

_CALM_WORDS = {
    "night": "taxi home late music goodnight keys quiet tired bar street lights cold walk sleep friends",
    "morning": "train late coffee queue bus school hello weather ticket work hurry bread metro rain monday",
    "midday": "lunch table menu queue sandwich meeting sun break office bill salad colleague park order phone",
    "evening": "shopping dinner bus children gym train home market beer cinema traffic football dog wine weekend",
}

FIRST_NAMES = tuple(_FIRST_NAMES.split())
LAST_NAMES = tuple(_LAST_NAMES.split())

#: What is said in the calm city, by part of the day.
CALM_WORDS = {part: tuple(words.split()) for part, words in _CALM_WORDS.items()}

#: What is said near somebody agitated.
TENSE_WORDS = tuple(_TENSE_WORDS.split())

#: What somebody did just before their score fell.
HOSTILE_ACTIONS = (
    "argued with a neighbour",
    "pushed in the queue",
    "shouted at a driver",
    "kicked a bin",
    "threw a bottle",
    "insulted a waiter",
    "refused to pay",
    "blocked the door of a train",
    "tore down a poster",
    "slammed a car door",
    "quarrelled over a parking space",
    'yelled "get lost" at a cyclist',
)

#: What somebody did who caught it from a person near.
CAUGHT_ACTIONS = (
    "joined an argument",
    "shouted back",
    "took sides in a quarrel",
    "was pushed and pushed back",
)

#: What people do otherwise.
CALM_ACTIONS = (
    "helped a stranger",
    "fed the pigeons",
    "held a door open",
    "took a photo",
    "played the guitar",
    "waved at the drone",
)
