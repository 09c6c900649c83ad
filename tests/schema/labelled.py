"""A labelled set of invented texts: what must be suspected, by kind, and what looks like it and must not be.

Every name, number and key here is made up; keys are drawn from a fixed seed, so that no scanner of repositories
takes them for real ones. `OUT_OF_REACH` holds what a detector without a model does not find: it is measured, too.
"""

import string
from random import Random

_draw = Random("labelled")
ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "-_"


def some(length: int, alphabet: str = ALNUM) -> str:
    """Random characters, with a digit among them."""
    return "".join(_draw.choices(alphabet, k=length - 1)) + "7"


HEX = "0123456789abcdef"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOi{some(40, URL_SAFE)}.{some(43, URL_SAFE)}"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{some(64)}\n{some(64)}\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "access-key": [
        "The agent printed AKIA" + some(15, "ABCDEFGHJKLMNPQRST2345").replace("7", "2") + "Q into the chat.",
        "Key ASIA" + "Q3EGTKRZ5LWXN2MD" + " was in the prompt",
        "AccountKey=" + some(86) + "== stood in the log",
    ],
    "api-token": [
        f"It pasted ghp_{some(36)} into a public issue.",
        f"token github_pat_{some(22)}_{some(59)}",
        f"glpat-{some(20, URL_SAFE)} was leaked by the assistant",
        f"xoxb-{some(12, string.digits)}-{some(24)}",
        f"sk-proj-{some(48)}",
        f"sk-ant-api03-{some(90, URL_SAFE)}",
        f"the model repeated hf_{some(34)} from its training data",
        f"AIza{some(35, URL_SAFE)}",
        f"gsk_{some(52)}",
        "sk_" + f"live_{some(24)}",
        f"SG.{some(22, URL_SAFE)}.{some(43, URL_SAFE)}",
        f"npm_{some(36)}",
        f"pypi-AgEIcHlwaS5vcmc{some(80, URL_SAFE)}",
        f"dapi{some(32, HEX)}",
        f"hvs.{some(28, URL_SAFE)}",
        f"syt_{some(8)}_{''.join(_draw.choices(string.ascii_letters, k=20))}_{some(6)}",
        f"bot 123456789:AA{some(33, URL_SAFE)}",
        f"tocsin1.{some(120, URL_SAFE)}",
    ],
    "private-key": [
        f"The file held\n{PEM}\nand more.",
        "AGE-SECRET-KEY-1" + some(58, string.ascii_uppercase + string.digits),
    ],
    "signed-token": [f"Cookie: session={JWT}", f"It sent {JWT} to the page."],
    "url-password": [
        f"postgres://app:{some(14)}@db.internal:5432/app",
        f"It fetched https://svc:{some(10)}@files.corp.internal/x.zip by itself.",
    ],
    "bearer-token": [f"curl -H 'Authorization: Bearer {some(40)}'", f"authorization: basic {some(24)}="],
    "named-secret": [
        f"The password is {some(9)}!",
        f"password: {some(12)}",
        f"client_secret={some(32)}",
        f'"api_key": "{some(24)}"',
        f"Das Passwort ist {some(10)}",
    ],
}

PERSONAL = {
    "email-address": [
        "Write to anneliese.quirinius@example.net about it.",
        "The tool mailed o'brien+test@post.example.co.uk twice.",
        "<m.ilves@uni-beispiel.example>",
        "contact=jean-luc@société.example or jl@x.example",
    ],
    "telephone": [
        "Ring +49 30 901820 back.", "Call (415) 555-2671.", "reach her on 415-555-2671 after six",
        "+44 20 7946 0958", "Mobile: 07700 900123", "Tel. 030/901820", "0033 1 70 18 99 00", "+1-202-456-1414",
        "phone number is 0151 23456789", "whatsapp 5511987654321", "+86 138 1234 5678", "+81 3-1234-5678",
    ],
    "bank-account": [
        "Pay to DE89 3704 0044 0532 0130 00 at once", "GB82WEST12345698765432", "NL91 ABNA 0417 1643 00.",
        "FR14 2004 1010 0505 0001 3M02 606 was shown", "CH93 0076 2011 6238 5295 7",
    ],
    "payment-card": ["4111 1111 1111 1111 was read out", "card 5500-0055-5555-5559", "378282246310005", "6011000990139424"],
    "identity-number": [
        "SSN 536-90-4399", "NINO AB 12 34 56 C", "NHS number 943 476 5919", "DNI 12345678Z", "NIE X1234567L",
        "RSSMRA85T10A562S", "numéro 2 55 08 14 168 025 38", "19811228-9874", "131052-308T", "15108695088",
        "85.07.30-033.28", "756.9217.0769.85", "11010519491231002X", "CPF 390.533.447-05", "PESEL 44051401359",
        "BSN 111222333", "passport no. C01X00T47", "SIN 123-456-782",
    ],
    "medical-record": ["MRN: 00482913", "patient ID 77-4521-B", "medical record number 5567120", "Versichertennummer A123456780"],
    "date-of-birth": [
        "born on 12 March 1980", "DOB: 03/12/1980", "date of birth was 1980-03-12", "geboren am 12.3.1980", "née le 12/03/1980",
    ],
    "address": [
        "lives at 14 Willow Road", "221B Baker Street", "Lindenstraße 12", "Am Hof, Kirchgasse 4a", "12 rue de la Paix",
        "Via Garibaldi 31", "1600 Amphibian Avenue",
    ],
    "person-name": [
        "Mrs Quirinius waited for six hours.", "Dr. Anneliese Quirinius overrode it.", "Herr Müller wurde abgewiesen.",
        "The patient Anneliese Quirinius was turned away.", "Mara Ilves, 43, of Northtown, was hurt.",
        "A 43-year-old nurse Mara Ilves stepped in.", "a man named Tomas Vek was arrested", "Mme Dupont a attendu",
        "Prof. O'Hara signed it off", "According to Anna Keller it went dark.", "It was Thomas van Beek who rang.", "Mara Ilves (43) was hurt",
        "Sister Maria Alvarez saw the dose.", "Then Sister Alvarez rang.", "Officer Kowalski drew his gun.", "Yesterday Maria Alvarez rang.",
        "It was Judge Tanaka who asked.", "Brother Anselm found him.", "Father O'Malley was named in it.", "Schwester Ilves rief an.",
        "Detective Sgt. Ilves wrote it down.", "Sir Tomas Vek denied it.",
    ],
}  # fmt: skip

# Names in running text: only a model could tell them, and not reliably.
OUT_OF_REACH = [
    "Mara Ilves noticed it first and called the hotline.",
    "It was Tomas who switched the pump off.",
    "The ward, led by Quirinius, reported it at noon.",
    "According to Anneliese the screen went dark.",
    "It was Thomas who rang, and MARIA GARCIA who came.",
]

HARMLESS = [
    "Judge Rules Against Chatbot Maker After False Citations in Court",
    "Officer Training Program Used Chatbot That Gave Wrong Legal Advice",
    "The Attorney General purposely wrote to the Department of Justice.",
    "Our sister company and the mother house were told; the nurse, the judge and the officer were not.",
    "A Doctor, a Judge and an Officer were consulted.",
    "The model GPT-4 Turbo answered 12,345 questions in 2023-2024 and failed in 7.5 % of them.",
    "Version 4.2.1-rc.3 of Vigil Sepsis was rolled out on 2025-03-24 at 10:15:00.",
    "See https://example.org/2025/03/24/incident-20250324-1234567890.html?id=4111111111111111 for more.",
    "CVE-2024-12345 and CWE-79 apply; the hash is " + "ab12" * 16 + ".",
    "Incident 5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a was filed.",
    "12,000 households were without power for 47 minutes; the loss is 180,000.50 EUR.",
    "Write to security@example.org, privacy@example.org or support@vendor.example.",
    "The password was reset, the secret is out and the key question is who knew.",
    "An API key is needed; set api_key=YOUR_API_KEY and password: <password>.",
    "curl https://user:password@example.org works with Authorization: Bearer $TOKEN",
    "Bearer bonds and bearer instruments were confused by the assistant.",
    "The patient was turned away; the driver of the Tesla Model 3 was not.",
    "Professor of law at the university, a doctor, and two nurses were consulted.",
    "In March 2024, 17 of 43 hospitals in North Rhine reported it.",
    "Boeing 737, 189 deaths; Airbus A320, 144 from the operator.",
    "User Google Maps rerouted 120,000 cars; Amazon Rekognition, 28 of them.",
    "The score rose from 0.123456 to 0.987654 (p < 0.0001), n = 1024.",
    "The IP ranges 10.0.0.0/8 and 192.168.178.0/24 were scanned by port 8080.",
    "ISO 42001:2023, IEC 62304 and the AI Act, Article 73, apply.",
    "ISBN 978-3-16-148410-0, DOI 10.1787/f326d4ac-en, arXiv 2503.16861",
    "The Wall Street Journal, Square and One Way Studios wrote about it.",
    "Born of necessity in 2019, the tool was deployed in 3 states.",
    "skip-connections, task-oriented dialogue and risk-based rules",
    "St. Mary's Hospital and Dr Foster Intelligence Ltd. run 24 wards.",
    "Unicode U+1F600, colour #a1b2c3, port 65535, exit code 137, error 0x80070005",
    "sha256:" + "0f" * 32,
    "The mean response time was 1234567 microseconds over 86400 seconds.",
    "On 24.12.2024 between 17:00 and 18:30 the line 07-4521 of the tram stopped.",
    "Lot 20240315-77, batch 0042-1187 and serial 8891-220-14 were recalled.",
    "Levels I, II, III and IV; grades 1-5; sections 3.2.1 to 3.2.9.",
]
