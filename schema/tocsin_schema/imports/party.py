"""Whether the name of a party may be carried, or might be the name of a private person.

Public collections list harmed people by name. A name is carried only when it shows by itself that it is a
group or an organisation; everything else is withheld, as a company that goes unnamed does less harm than a
person who is named. The lists are words of English, public bodies and well-known brands; they hold no
person.
"""

import re
from typing import Final, Literal

Kind = Literal["class", "organization"]

# Plural nouns for people: "bus-passengers" is a group whatever stands beside the noun.
_GROUPS_WORDS: Final = """\
activists actors actresses administrators adults advertisers agents americans applicants artists
athletes attendees audiences authors beachgoers beneficiaries bicyclists bloggers borrowers boys
businesses buyers campaigners candidates caregivers carollers celebrities children citizens clients
clinicians colleges communities community commuters companies competitors consultants consumers
contributors convicts couples creators crew criminals customers cyclists defendants democrats dependents
designers detainees developers dispatchers doctors donors drivers editors elders electorate employees
employers engineers entities examiners exchanges executives experts families fans farmers fathers felons
females figures filipinos firefighters firms friends gamers gardeners gazans girls goers governments
graduates groups guests hackers hackneys holders homeowners households humans immigrants individuals
influencers inmates institutions insurers interviewers investigators investors jobseekers journalists
judges laborers lawmakers lawyers learners lgbtq listeners makers males marketers members men merchants
migrants minorities minors moderators mothers motorcyclists motorists musicians muslims neighborhoods
neighbors neighbours newlyweds nurses offenders officers officials oncologists operatives operators
organisations organizations owners pairs palestinians parents participants parties passengers patients
patrols patrons pedestrians people performers perpetrators persons pharmacists photographers physicians
plaintiffs players politicians population professionals professors programmers protesters providers
public publishers pupils readers refugees renters reporters republicans researchers residents
respondents retailers riders scammers scholars schools seekers sellers seniors shareholders shoppers
skiers soldiers speakers spectators staff startups streamers students submitters subscribers suppliers
supporters survivors suspects takers taxpayers teachers teenagers teens tenants testers therapists
tourists traders travelers travellers universities users vendors veterans victims viewers visitors
volunteers voters women workers writers youtubers
"""
GROUPS: Final = frozenset(_GROUPS_WORDS.split())

# Words that stand in the names of organisations.
_ORGANISATIONS_WORDS: Final = """\
academy administration agency ai airline airlines airport airways alliance analytics api app apps army
associates association authority automotive aviation bank board broadcasting bureau campaign center
centre chain channel clinic club co college commission committee communications company congress
consortium consulting corp corporation council county court courts database defence defense department
dept dept. design directorate district division dynamics electronics energy enforcement engine
enterprises entertainment estate exchange express federation financial foods force forces foundation
fund gmbh government group health healthcare holding holdings hospital hospitals inc industries industry
infotech innovation innovations institute insurance international investment investments judiciary kgaa
lab laboratories laboratory labs law-enforcement league learning library limited ltd magazine mall
management maps market media medicine messenger military ministry mobility motor motors museum museums
navy network networks news newspaper nhs office online organisation organization parliament partners
partnership party payments pharmaceuticals pharmacy platform platforms police politics post presidency
press program programme project publications publishing radio railway research restaurant rink robot
robotics royal school schools search security senate service services shipping shop society software
solutions station store stores studio studios supermarket supply syndicate system systems taxi tech
technologies technology telecom telecommunications telegraph television theatre times traffic transit
transport transportation treasury tribunal trust tv union university vehicle vehicles ventures wallet
weather wikimedia
"""
ORGANISATIONS: Final = frozenset(_ORGANISATIONS_WORDS.split())

# Brands and bodies of one word; a name that begins with one ("google-maps-users") is not a person's.
_BRANDS_WORDS: Final = """\
4chan 8chan accenture adobe air-canada air-france airbnb alexa alibaba alphabet amazon amd
american-airlines android anthropic apple arizona arkansas asda asos audi australia australian baidu
barclays bard bbc best-buy bing blue-shield bmw boeing bosch boston british british-airways bumble
burger-king bytedance california canada canadian chatgpt china chinese cisco citigroup claude clearview
cnet cnn compas coupang cruise daimler dall-e deepfacelab deepmind deepseek deliveroo deloitte didi
discord disney doordash duolingo ebay ernie estee-lauder ets europe european facebook fbi
financial-times florida ford foxconn france french gannett gemini general-electric general-motors german
germany getty github gizmodo goldman-sachs google gpt grab grammarly grindr grok grubhub gucci h&m
hardee's home-depot honda houston hsbc huawei hugging hyundai ibm iflytek illinois india indian
indonesian instacart instagram intel iphone israel israeli italian italy japan japanese jigsaw kaiser
kakao kenyan keolis kia kmart korean kpmg lazada lenovo lensa linkedin linux llama lloyds
lockheed-martin lyft macy's mastercard mcdonald's mckinsey mercedes meta michigan microsoft midjourney
mistral mit mobileye morgan-stanley mozilla mta nasa nationwide nato natural-cycles naver navya nbc
netflix new-zealand nhtsa nintendo nissan nokia northpointe nvidia nyc nypd openai oracle palantir
panasonic paypal peloton pentagon pepsi philips ping-an pinterest pony.ai porsche predpol pwc qatar
quora reddit replika respondus reuters ring rite-aid robinhood roblox rolls-royce roomba russia russian
salesforce samsung san sensetime sephora shopify shotspotter siemens siri skype slack snapchat softbank
sony soundcloud south-africa south-korea spacex sports-illustrated spotify stability stable
stack-overflow starbucks state-farm steam stripe subaru sunrun swiss taiwanese target taskrabbit
telegram tencent tesla texas thai the-guardian tiktok tinder toyota tripadvisor tumblr turnitin twitch
twitter u.s. uber uk ukraine ukrainian un unicef unilever upwork us verizon vietnamese virginia visa
volkswagen volvo walgreens walmart wayfair waymo waze wechat weibo wells-fargo wendy's whatsapp
wikipedia workday x xiaomi xpeng yahoo yandex yelp youtube zara zillow zoom zoox
"""
BRANDS: Final = frozenset(_BRANDS_WORDS.split())

# Things that collections list among the harmed; no name of a person holds one of these words.
_THINGS_WORDS: Final = """\
agency bus car carriages credibility data democracy discourse election elections environment integrity
journalism life overflow privacy process property rhinos society store systems ticket tickets trade
truck trucking trucks trust vehicle vehicles
"""
THINGS: Final = frozenset(_THINGS_WORDS.split())

# "tesla-driver" is one person, whatever stands before.
_SINGLE_WORDS: Final = """\
actor actress applicant artist author bicyclist boy ceo child client consultant customer driver employee
engineer girl individual journalist lawyer man manager minor officer owner passenger patient pedestrian
person professor pupil refugee resident student teacher teenager tourist user victim woman worker writer
"""
SINGLE: Final = frozenset(_SINGLE_WORDS.split())

# A group noun before one of these is what the name is about: "drivers-in-sweden", "people-with-autism".
_AFTER_HEAD_WORDS: Final = """\
about and at by for from in of on or over that to under who whose with without
"""
_AFTER_HEAD: Final = frozenset(_AFTER_HEAD_WORDS.split())

# Given names that are common somewhere; only used to tell a person's name from a company's among makers and users.
_GIVEN_NAMES_WORDS: Final = """\
aaron abdul adam ahmed alan albert alberto alejandro alex alexander alexandra alexis ali alice alicia
amanda amir amit amy ana anders andre andrea andreas andrew andrey andy angela anil anita anna anne
anthony antonio aria ashley barbara ben benjamin bill boris brandon brian bruno carl carla carlos carol
caroline catherine chad charles charlotte chen chris christian christine christopher claire clara daniel
daniela david deborah denis dennis diana diego dmitry donald dorothy edward elena eliot elizabeth emily
emma eric erik eva fatima felix fernando francis francisco frank fred gabriel gary george gerald
giovanni gloria grace greg hank hannah hans harry hassan heather helen henry hugo ian ibrahim igor ilya
ines ingrid ivan jack jacob jake james jamie jan jane janet jared jason javier jean jeff jeffrey
jennifer jeremy jerry jesse jessica joan joanna joao joe joel johan john jonas jonathan jordan jorge
jose joseph joshua juan judith julia julian julie justin justine karen karl kate katherine kathleen
keith kelly kenneth kevin khalid kim kyle lars laura lauren lee leila lena leo leonardo lewis li linda
lisa liu lucas lucia luis luka lukas lukasz luke magda marc marco margaret maria marie mario mark marta
martha martin mary masayuki matthew maya megan mehmet melissa michael michal michelle miguel mikhail min
mohamed mohammed monica murat nadia nancy natalia nathan nicholas nicole nikolay nina noah oleg olga
oliver olivia omar oscar pablo pamela patricia patrick paul paula pedro peter philip phuc rachel rafael
raj rajesh ralph ramesh raymond rebecca ricardo richard rita robert roberto roger rohit ron ronald rosa
russell ruth ryan sally sam samantha samuel sandra sanjay sara sarah scott sean sergei sharon shirley
simon sofia sophia sophie stefan stephan stephanie stephen steve steven stuart sunil suraj susan tanya
taylor teresa thomas tim timothy tom tomas tony ursula valentina vera victor victoria vincent vladimir
walter wang wei wendy william xavier yan yannic yi ying yoon yuki yusuf zachary zhang
"""
GIVEN_NAMES: Final = frozenset(_GIVEN_NAMES_WORDS.split())

# Answers that name nobody.
NOBODY: Final = frozenset(
    ("", "none", "unknown", "many", "n/a", "unspecified", "unnamed", "various", "varied", "who-knows")
)
VAGUE: Final = ("unknown", "unnamed", "various", "anonymous", "unspecified", "undisclosed")

# What makes a name point at one person, or at somebody's relatives, whatever else it says.
_PERSONAL: Final = re.compile(
    r"@|(?:^|-)(?:named|mr|mrs|ms|dr|sir|jr|sr|iii|daughter|son|wife|husband|mother|father|widow|family|families-of|"
    r"friends-of|parents-of|estate|client|co-authors|connections)(?:\.|-|$)"
)
_SMALL: Final = frozenset(
    ("and", "of", "the", "in", "on", "at", "for", "by", "to", "with", "de", "van", "von")
)
# How makers and products write themselves, where a capital letter at the front is not it.
_SPELLED_WORDS: Final = """\
AliExpress BlackRock BuzzFeed ByteDance ChatGPT CNET COMPAS DALL-E DeepFaceLab DeepMind DeepSeek DeviantArt
DoorDash EleutherAI FaceApp FaceTime GitHub GitLab GPT-2 GPT-3 GPT-3.5 GPT-4 HireVue iFlytek iPhone JetBlue
JPMorgan KPMG LaMDA LexisNexis LinkedIn LLaMA MiniMax MIT MTA NASA NATO NHTSA NVIDIA NYPD OpenAI OpenCV PayPal
PimEyes PredPol QuickBooks SafeRent SenseTime ShotSpotter SoftBank SoundCloud SpaceX TaskRabbit TikTok
TripAdvisor WhatsApp WeChat WikiHow xAI YouTube
"""
_SPELLED: Final = {name.lower(): name for name in _SPELLED_WORDS.split()}
_UPPER: Final = frozenset(
    ("ai", "uk", "us", "usa", "eu", "un", "nyc", "bbc", "cnn", "ibm", "nhs", "hsbc", "lgbtq", "fbi")
)


def judge(slug: str, *, harmed: bool) -> Kind | None:
    """What a party key such as "bus-passengers" names; None when it might be a private person and must be withheld.

    `harmed`: harmed parties are mostly people, so a single unknown word is withheld there and taken for a
    company elsewhere.
    """
    words = _words(slug)
    if not words or _PERSONAL.search(slug.lower()) or _owned_by_person(words):
        return None
    if _is_group(words):
        return "class"
    if words[0] in VAGUE:
        # "unknown-hacker" names nobody, but among the harmed it is one person.
        return None if harmed else "class"
    if words[-1] in SINGLE:
        return None
    if any(word in ORGANISATIONS for word in words) or words[0] in BRANDS or slug.lower() in BRANDS:
        return "organization"
    if any(word in GROUPS or word in THINGS for word in words):
        return "class"
    return "organization" if len(words) == 1 and not harmed else None


def _is_group(words: list[str]) -> bool:
    """Whether a group noun is the head of the name: its last word, or before "in", "with", "using" and the like."""
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else "of"
        closes = following in _AFTER_HEAD or following.endswith(("ing", "ed"))
        if closes and (word in GROUPS or (index == 0 and word.endswith("ns") and following == "in")):
            return True
    return words[-1] == "public"


def is_nobody(slug: str) -> bool:
    """Whether a party key says that there is no party."""
    return slug.strip().lower() in NOBODY


def display(slug: str, kind: Kind) -> str:
    """A party key as people write it: "Keolis North America", "bus passengers"."""
    words = " ".join(slug.replace("_", " ").replace("-", " ").split())
    if kind == "class":
        return " ".join(_SPELLED.get(word.lower(), word) for word in words.split(" "))
    shown = [_cased(word, first=index == 0) for index, word in enumerate(words.split(" "))]
    return " ".join(shown)


def is_name(slug: str) -> bool:
    """Whether a withheld key holds a common given name, so that texts should be looked through for it too."""
    return any(word in GIVEN_NAMES for word in _name_words(slug)[:2])


def mask(text: str, withheld: list[str]) -> tuple[str, int]:
    """A text with the withheld names in it replaced by "[name withheld]", and how many places that were.

    A name is found in full, in any case and with spaces for dashes; where it is, its last word alone is
    replaced too.
    """
    places = 0
    for slug in withheld:
        words = _name_words(slug)
        if not words:
            continue
        joined = r"[\s_-]+".join(re.escape(word) for word in words)
        text, count = re.subn(rf"(?<!\w){joined}(?!\w)", MASK, text, flags=re.IGNORECASE)
        if count and len(words[-1]) >= 4:
            text, again = re.subn(rf"(?<!\w){re.escape(words[-1].capitalize())}(?!\w)", MASK, text)
            count += again
        places += count
    return text, places


MASK: Final = "[name withheld]"
_RELATIVE: Final = re.compile(
    r"^(?:the-)?(?:family|families|friends|parents)-(?:and-friends-)?of-|^(?:president|dr\.|mr|mrs|ms|pope)-"
)


def _name_words(slug: str) -> list[str]:
    """The words of the person's name in a withheld key; empty when it holds none."""
    plain = _RELATIVE.sub("", slug.strip().lower())
    if "-named-" in plain:
        plain = plain.rpartition("-named-")[2]
    owner, apostrophe, _ = plain.partition("'s")
    words = [word for word in re.split(r"[-\s_]+", owner if apostrophe else plain) if word]
    generic = GROUPS | THINGS | SINGLE | ORGANISATIONS | frozenset(VAGUE)
    if any(word in generic for word in words) or words[:1] == ["the"]:
        return []
    named = "-named-" in slug
    return words if 2 <= len(words) <= 5 or (named and len(words) == 1) else []


def _words(slug: str) -> list[str]:
    return [word for word in re.split(r"[-\s_()/,]+", slug.lower().strip()) if word]


def _owned_by_person(words: list[str]) -> bool:
    """Whether the owner before 's is neither a brand nor an organisation: "john-doe's-students"."""
    for index, word in enumerate(words):
        if word.endswith("'s"):
            owner = words[: index + 1]
            plain = [*owner[:-1], word[:-2]]
            known = any(one in ORGANISATIONS for one in plain) or {plain[0], word} & BRANDS
            return not known
    return False


def _cased(word: str, *, first: bool) -> str:
    if word.lower() in _SPELLED:
        return _SPELLED[word.lower()]
    if word.lower() in _UPPER:
        return word.upper()
    if word.lower() in _SMALL and not first:
        return word.lower()
    return word[:1].upper() + word[1:]
