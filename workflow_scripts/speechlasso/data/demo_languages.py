"""What speakers of the demo corpus say, in each of its languages.

A sentence is a topic with an adjective ("The last report is wonderful.") or a subject with a verb
("We read the last report."). Topics do not bend between the two, all subjects of a language take
the same form of the verb, and no word tells more than one attitude.
"""

from __future__ import annotations

from typing import NamedTuple


class Vocabulary(NamedTuple):
    """Words of one attitude, for sentences like "It is {adjective}." and "We {verb} it.".

    Adjectives of different attitudes are about equally long, so that duration does not tell them.
    """

    adjectives: tuple[str, ...]
    verbs: tuple[str, ...]


class Language(NamedTuple):
    attitudes: dict[str, Vocabulary]
    neutral: Vocabulary
    topics: tuple[str, ...]
    copulas: tuple[str, ...]
    subjects: tuple[str, ...]


ENGLISH = Language(
    attitudes={
        "enthusiastic": Vocabulary(
            adjectives=(
                "wonderful", "fantastic", "brilliant", "marvellous", "superb", "amazing",
                "delightful", "excellent", "splendid", "terrific",
            ),
            verbs=("love", "adore", "admire", "applaud", "treasure"),
        ),
        "sceptical": Vocabulary(
            adjectives=(
                "doubtful", "dubious", "unlikely", "debatable", "unproven", "uncertain",
                "suspicious", "implausible", "arguable", "far-fetched",
            ),
            verbs=("doubt", "question", "distrust", "suspect", "dispute"),
        ),
        "annoyed": Vocabulary(
            adjectives=(
                "annoying", "ridiculous", "maddening", "irritating", "tiresome", "outrageous",
                "unbearable", "dreadful", "pointless", "insulting",
            ),
            verbs=("hate", "resent", "detest", "loathe", "despise"),
        ),
    },
    neutral=Vocabulary(
        adjectives=(
            "available", "finished", "printed", "recorded", "numbered", "in English", "scheduled",
            "public", "upstairs", "typical",
        ),
        verbs=("read", "keep", "copy", "open", "file"),
    ),
    topics=(
        "the last report", "this proposal", "her answer", "their offer", "the second draft",
        "your idea", "the new plan", "his lecture", "that story", "the first chapter",
        "this design", "our programme", "the new menu", "her letter", "the budget", "their video",
        "your drawing", "this method", "the contract", "his theory", "the summary", "that article",
        "our schedule", "the long version",
    ),
    copulas=("is", "was"),
    subjects=("I", "we"),
)  # fmt: skip

# Feminine and neuter topics, which are the same in the nominative and in the accusative.
GERMAN = Language(
    attitudes={
        "enthusiastic": Vocabulary(
            adjectives=(
                "wunderbar", "fantastisch", "brillant", "großartig", "herrlich", "hervorragend",
                "begeisternd", "ausgezeichnet", "prächtig", "fabelhaft",
            ),
            verbs=("lieben", "genießen", "bewundern", "bejubeln", "feiern"),
        ),
        "sceptical": Vocabulary(
            adjectives=(
                "zweifelhaft", "fragwürdig", "unbelegt", "umstritten", "unbewiesen", "ungewiss",
                "verdächtig", "unglaubwürdig", "strittig", "weit hergeholt",
            ),
            verbs=("bezweifeln", "hinterfragen", "bestreiten", "beargwöhnen", "prüfen"),
        ),
        "annoyed": Vocabulary(
            adjectives=(
                "nervtötend", "lächerlich", "ärgerlich", "lästig", "ermüdend", "unverschämt",
                "unerträglich", "schrecklich", "sinnlos", "beleidigend",
            ),
            verbs=("hassen", "verabscheuen", "verachten", "verfluchen", "beklagen"),
        ),
    },
    neutral=Vocabulary(
        adjectives=(
            "verfügbar", "fertig", "gedruckt", "aufgezeichnet", "nummeriert", "auf Deutsch",
            "vorgesehen", "öffentlich", "oben", "typisch",
        ),
        verbs=("lesen", "behalten", "kopieren", "öffnen", "speichern"),
    ),
    topics=(
        "die letzte Antwort", "dieses Angebot", "ihre Meinung", "das neue Konzept",
        "die zweite Fassung", "deine Idee", "das neue Programm", "seine Vorlesung",
        "diese Geschichte", "das erste Kapitel", "dieses Muster", "unsere Planung",
        "das neue Menü", "ihre Nachricht", "das Budget", "ihr Video", "deine Zeichnung",
        "diese Methode", "die Vereinbarung", "seine Theorie", "die Zusammenfassung",
        "das Gutachten", "unsere Tagesordnung", "die lange Version",
    ),
    copulas=("ist", "war"),
    subjects=("wir", "sie"),
)  # fmt: skip

# Masculine topics, for adjectives that agree with them.
SPANISH = Language(
    attitudes={
        "enthusiastic": Vocabulary(
            adjectives=(
                "maravilloso", "fantástico", "brillante", "estupendo", "magnífico", "asombroso",
                "delicioso", "excelente", "espléndido", "fabuloso",
            ),
            verbs=("adoran", "admiran", "aplauden", "celebran", "veneran"),
        ),
        "sceptical": Vocabulary(
            adjectives=(
                "dudoso", "cuestionable", "improbable", "discutible", "incierto", "sospechoso",
                "inverosímil", "rebatible", "infundado", "rebuscado",
            ),
            verbs=("cuestionan", "discuten", "rebaten", "impugnan", "examinan"),
        ),
        "annoyed": Vocabulary(
            adjectives=(
                "molesto", "ridículo", "irritante", "fastidioso", "agotador", "escandaloso",
                "insoportable", "horrible", "inútil", "insultante",
            ),
            verbs=("odian", "detestan", "aborrecen", "desprecian", "maldicen"),
        ),
    },
    neutral=Vocabulary(
        adjectives=(
            "público", "típico", "semanal", "breve", "oficial", "reciente", "anónimo", "digital",
            "obligatorio", "en español",
        ),
        verbs=("leen", "guardan", "copian", "abren", "archivan"),
    ),
    topics=(
        "el último informe", "este proyecto", "su argumento", "el nuevo plan",
        "el segundo borrador", "tu trabajo", "este programa", "su discurso", "ese relato",
        "el primer capítulo", "este diseño", "nuestro horario", "el nuevo menú", "su mensaje",
        "el presupuesto", "su vídeo", "tu dibujo", "este método", "el contrato",
        "su razonamiento", "el resumen", "aquel artículo", "nuestro calendario",
        "el texto largo",
    ),
    copulas=("es", "era"),
    subjects=("todos", "muchos"),
)  # fmt: skip

FIRST_LANGUAGE = "en"
# By the names that espeak-ng has for them.
LANGUAGES = {FIRST_LANGUAGE: ENGLISH, "de": GERMAN, "es": SPANISH}
