"""Lines of text in many languages and of many kinds, the same for the same seed: for comparing tokenizers and
for timing them (`python tests/mixed_lines.py N > lines.txt`)."""
import json
import random
import sys

SENTENCES = [
    "Could you turn on the lights in the kitchen and set the heating to twenty-one degrees? I'd rather not get up, it's Sunday after all.",
    "Bitte schalte das Licht in der Küche ein und stelle die Heizung auf einundzwanzig Grad; größere Änderungen müssen wir übermorgen besprechen.",
    "Peux-tu réserver une table pour quatre personnes demain soir à l'auberge près de la gare, s'il te plaît ? C'était déjà complet l'été dernier.",
    "¿Puedes enviar un mensaje a mi hermana y decirle que llegaré mañana por la mañana? Añade también la dirección del pequeño café.",
    "Potresti cercare un treno da Torino a Perugia per venerdì mattina? Perché così arriverei prima che la città si svegli.",
    "Por favor, envie o relatório à equipa até às dez horas e não se esqueça de anexar as fotografias da reunião de ontem.",
    "Kun je morgen om half negen een afspraak maken bij de tandarts, en zet de boodschappenlijst alvast op mijn telefoon?",
    "Kan du boka ett möte på torsdag eftermiddag och skicka påminnelser till alla som är bjudna, även gäster från Åbo?",
    "Włącz ogrzewanie w łazience i przypomnij mi jutro rano o spotkaniu z księgową, żebym znów się nie spóźnił.",
    "Zapni prosím světla v předsíni a najdi nejbližší otevřenou lékárnu, než se vrátíme z výletu; děti už jsou unavené.",
    "Kapcsold fel a konyhában a világítást, és emlékeztess holnap reggel arra, hogy időben induljunk az állomásra.",
    "Lütfen yarın sabah yedi buçuk için bir çalar saat kur ve İzmir'deki hava durumunu söyle, şemsiye almam gerekir mi?",
    "Включи, пожалуйста, свет на кухне и поставь будильник на семь утра, а ещё напомни позвонить бабушке в субботу.",
    "Увімкни світло у вітальні та нагадай мені про зустріч із лікарем у четвер; їхня адреса є в моїх нотатках.",
    "Άναψε τα φώτα στην κουζίνα και θύμισέ μου αύριο το πρωί να τηλεφωνήσω στην αδελφή μου για τα γενέθλιά της.",
    "من فضلك شغّل الإضاءة في المطبخ وذكّرني غدًا صباحًا بموعد الطبيب، ثم أرسل العنوان إلى أخي الكبير.",
    "בבקשה הדלק את האור במטבח והזכר לי מחר בבוקר להתקשר לרופא לפני שאנחנו יוצאים לדרך.",
    "कृपया रसोई की बत्ती जला दो और कल सुबह मुझे डॉक्टर से मिलने की याद दिलाना, फिर भाई को पता भेज देना।",
    "রান্নাঘরের আলো জ্বালিয়ে দাও এবং কাল সকালে আমাকে ডাক্তারের কথা মনে করিয়ে দিও।",
    "தயவுசெய்து சமையலறை விளக்கை எரியவிட்டு நாளை காலை மருத்துவரைப் பற்றி எனக்கு நினைவூட்டு.",
    "กรุณาเปิดไฟในห้องครัวและเตือนฉันพรุ่งนี้เช้าว่ามีนัดกับหมอ แล้วส่งที่อยู่ให้พี่ชายด้วย",
    "Hãy bật đèn trong bếp và nhắc tôi sáng mai gọi cho bác sĩ trước khi chúng ta lên đường đến nhà ga.",
    "请把厨房的灯打开，明天早上提醒我给医生打电话，然后把地址发给我哥哥，谢谢。",
    "台所の電気をつけて、明日の朝に歯医者へ電話するように知らせてください。それから住所を兄に送ってね。",
    "부엌 불을 켜 주고 내일 아침에 병원 예약을 알려 줘. 그리고 주소를 형에게 보내 줄래?",
    "Tafadhali washa taa za jikoni na unikumbushe kesho asubuhi kumpigia daktari kabla ya safari yetu.",
]
CODE = ["def set_light(room: str, level: int = 10) -> bool:", "    return {k: v for k, v in items.items() if v is not None}", "#include <stdio.h>",
        "for (size_t i = 0; i < n; i++) sum += x[i] * y[i];", "SELECT name, count(*) FROM orders WHERE day >= '2026-01-31' GROUP BY 1;",
        "curl -s https://example.org/v1/items?id=42&limit=100 | jq '.data[0]'", "\tif err != nil {\n\t\treturn nil, err\n\t}".replace("\n", " "),
        "<div class=\"row\"><a href='/help'>Help</a></div>", "x = (a ** 2 + b ** 2) ** 0.5  # hypotenuse", "git commit -m \"fix: don't drop the last token\""]
EMOJI = ["😀", "👍🏽", "🇫🇷", "👩‍👩‍👧", "❤️", "✅", "→", "…", "—", "“quoted”", "№", "½", "℃", "ﬁ", "e\u0301"]
NOISE = [(0x21, 0x7E), (0xA1, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x621, 0x64A), (0x905, 0x939), (0xE01, 0xE2E), (0x1E00, 0x1EFF),
         (0x2010, 0x2027), (0x2190, 0x21FF), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x1F300, 0x1F64F)]


def sentence(r):
    words = r.choice(SENTENCES).split(" ")
    k = r.randint(1, len(words))
    at = r.randint(0, len(words) - k)
    words = words[at:at + k]
    for _ in range(r.randint(0, 2)):
        words.insert(r.randint(0, len(words)), r.choice([str(r.randint(0, 10 ** r.randint(1, 9))), f"{r.uniform(0, 1e4):,.2f}", r.choice(EMOJI), f"{r.randint(0, 23)}:{r.randint(0, 59):02}"]))
    return " ".join(words)


def data(r):
    return json.dumps({r.choice(["name", "städte", "id", "query", "説明"]): r.choice([sentence(r), r.randint(-9999, 9999), round(r.random(), 6), None, True, [1, 2, 3]])},
                      ensure_ascii=r.random() < 0.3, indent=None)


def noise(r):
    out = []
    for _ in range(r.randint(1, 12)):
        lo, hi = r.choice(NOISE)
        out.append("".join(chr(r.randint(lo, hi)) for _ in range(r.randint(1, 6))))
    return r.choice([" ", "  ", "", "\t", "\u00a0"]).join(out)


def line(r):
    p = r.random()
    if p < 0.72:
        return " ".join(sentence(r) for _ in range(r.randint(1, 3)))
    if p < 0.84:
        return r.choice(["", "  ", "    "]) + r.choice(CODE) + r.choice(["", " ", "   // " + sentence(r)])
    return data(r) if p < 0.92 else noise(r)


def lines(n, seed=1):
    r = random.Random(seed)
    return [line(r) for _ in range(n)]


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    for text in lines(int(sys.argv[1])):
        print(text)
