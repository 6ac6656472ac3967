"""Texts of the tokenizer goldens: hand-picked cases and seeded random mixtures. No file or network is read."""

import random


def hand_picked():
    texts = ["", "\n", " ", "  ", "   ", "\t", "\t\t", "\n\n", "\n\n\n", "\r\n", "\r", "\r\n\r\n", " \n", "\n ",
             " \n \n", "\t\n", "\n\t", "a\n", "\na",
             " a", "a ", "  a", "a  ", "   a   b    c     d", "a\tb", "a\t\tb", "a \t b", "a\n b", "a\n  b", "a \n b",
             "a\r\nb\r\n  c", "x  \n\n  y", "\t\tif x:\n\t\t\treturn",
             " " * 4, " " * 8, " " * 16, " " * 17, " " * 33, " " * 64, " " * 100, "\n" * 10, "\t" * 12,
             "a" + " " * 20 + "b", "a" + "\n" * 7 + "b", " \t \t \n \t\r\n"]
    texts += ["Hello", " Hello", "Hello world", "Hello, world!", "Hello World", "HELLO WORLD", "hello  world",
             "The quick brown fox jumps over the lazy dog.",
              "It was the best of times, it was the worst of times.",
              "Dr. Smith's e-mail is smith@example.com; call +1 (555) 010-9999.",
              "A well-known state-of-the-art, rock-'n'-roll approach.",
              "Wait... what?! No -- really? Yes; (maybe) [or] {not}.", "https://example.org/a/b?c=d&e=f#g",
              "user_name camelCase PascalCase SCREAMING_SNAKE kebab-case dot.case",
              "e.g., i.e., etc., vs., U.S.A., Ph.D.", "1st 2nd 3rd 4th 21st 100th", "$1,234.56 -- 99.9% of 10^6",
              "\"quoted\" 'single' `tick` \u201ccurly\u201d \u2018single\u2019 \u00abguillemets\u00bb",
              "naïve café résumé Zoë coöperate façade", "ﬁne ﬂow ﬀ ﬃ ligatures",
              "Mr and Mrs Dursley, of number four, Privet Lane, were proud to say that they were perfectly normal, thank you very much." ]
    for word in ["I", "you", "we", "THEY", "It", "don", "isn", "y", "O", "could", "who", "x"]:
        texts.append(" ".join(word + c for c in ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]))
    texts += [" ".join("I" + c for c in ["'S", "'T", "'RE", "'VE", "'M", "'LL", "'D"]), "'s", "'S", "'sa", "'tis",
             " 's", "''s", "can't won't shouldn't've", "CAN'T WON'T SHOULDN'T'VE",
              "I\u2019m you\u2019re we\u2019ll don\u2019t", "'ll'll 're're", "'lls 'res 'ved", "he'D she'Ll",
              "rock'n'roll", "\u017fs '\u017f x'\u017f", "5's 10'd", "l'été d'abord qu'il"]
    for n in range(1, 21):
        texts.append("12345678901234567890"[:n])
    texts += ["0", "00", "007", " 1", " 12", " 123", "  1234", "1 2 3", "1a2b3c", "a1b22c333", "3.14159265358979",
             "1e-10", "0x1F4A9", "1,000,000", "1_000_000", "12:34:56", "2024-02-29T23:59:60Z",
              "192.168.100.200", "v1.2.3-rc.4+build.5", "½ ¾ ² ³ ¹ ① ⑳ Ⅷ ⅻ", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５",
              "១២៣", "x²+y²=z²", "10⁻⁹", "1\u20442", "九十九", "abc123def456", "-1 +1 ±1", "№5 §7 ¶8"]
    texts += ["😀", "😀😀😀", " 😀", "a😀b", "👍🏽", "👨‍👩‍👧‍👦", "👩🏿‍💻 👨🏻‍🚀", "🏳️‍🌈 🏴‍☠️", "🇫🇷🇩🇪🇯🇵", "🇺🇸 🇬🇧",
             "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "1️⃣ 2️⃣ #️⃣ *️⃣", "❤️ ❤ ☺️ ☹",
              "😶‍🌫️😮‍💨", "🧑‍🤝‍🧑🫱🏼‍🫲🏾", "✨🚀🔥💯✅", "⚠️ caution ⚠️", "🫠🫡🪿🫨", "emoji at end 🎉", "🤷‍♀️🤦🏾‍♂️", "🐈‍⬛ 🐻‍❄️"]
    texts += ["e\u0301", "e\u0301e\u0300", "a\u0308o\u0308u\u0308", "n\u0303",
             "Z\u0351\u036b\u0343a\u0321l\u034eg\u0334o\u0337", "\u0301", " \u0301", "q\u0323\u0307 vs q\u0307\u0323",
             "\u1e9b\u0323",
              "Å Å A\u030a", "가각\u1100\u1161", "한국어 \u1112\u1161\u11ab", "न\u093c ऩ", "ก\u0e33 กํา",
              "\u0915\u094d\u0937", "שׁ\u05c1 ש", "ً\u064b", "x\u20d7 \u20dd", "fo\u0304o\u0304 ba\u0304r"]
    texts += ["你好，世界！", "我想在apple工作1314151天～", "今天天气很好，我们去公园散步吧。", "繁體中文測試：臺灣的夜市。", "这是一个很长的句子没有任何标点符号只是为了测试分词器的行为",
             "日本語のテキストです。カタカナ、ひらがな、漢字。",
              "東京都渋谷区1-2-3", "ｶﾀｶﾅ ﾊﾝｶｸ Ｆｕｌｌｗｉｄｔｈ", "한국어 텍스트입니다. 안녕하세요!", "𠮷野家 𡈽 𩸽", "「引用」『二重』【括弧】〈角〉", "〇〇〇・・・ーーー々々",
              "你好 hello 안녕 こんにちは", "ㄅㄆㄇㄈ", "注音ㄓㄨˋㄧㄣ"]
    texts += ["مرحبا بالعالم", "السلام عليكم ورحمة الله وبركاته", "اَلْعَرَبِيَّةُ", "فارسی: سلام دنیا",
             "نیم\u200cفاصله می\u200cخواهم", "اردو میں لکھا ہوا متن", "שלום עולם", "בְּרֵאשִׁית בָּרָא אֱלֹהִים",
             "\u200fעברית\u200e mixed \u202bRTL\u202c",
              "नमस्ते दुनिया", "हिन्दी में एक वाक्य लिखा गया है।", "क्षत्रिय ज्ञान श्री", "বাংলা ভাষা", "தமிழ் மொழி",
              "తెలుగు భాష", "ಕನ್ನಡ", "മലയാളം", "ગુજરાતી", "ਪੰਜਾਬੀ", "සිංහල",
              "สวัสดีชาวโลก", "ภาษาไทยไม่มีช่องว่างระหว่างคำ", "ສະບາຍດີ", "កាន់តែពិសេសអាចខលចេញ", "မြန်မာဘာသာ",
              "བོད་སྐད།", "Привет, мир!", "Съешь же ещё этих мягких французских булок, да выпей чаю.",
              "нещо на Български", "Українська мова: ґанок, їжак, єнот",
              "ПРИВЕТ МИР", "Γειά σου Κόσμε!", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
              "ὦ ξεῖν᾽ ἀγγέλλειν Λακεδαιμονίοις", "Հայերեն բարեւ", "ქართული ენა", "አማርኛ ሰላም", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ",
              "Cửa Việt", "Tiếng Việt có dấu thanh", "Türkçe İstanbul ığüşöç", "Straße GROẞ Ärger",
              "Łódź żółć gęślą jaźń", "Příliš žluťoučký kůň", "Árvíztűrő tükörfúrógép", "Þórður ðæt", "Ŋuŋ ŧ đ",
              "ʻŌlelo Hawaiʻi", "ᚠᚢᚦᚨᚱᚲ", "𐌰𐍄𐍄𐌰 𐌿𐌽𐍃𐌰𐍂", "𓀀𓁐 𓂀", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒻𝒶𝓃𝒸𝓎 𝟙𝟚𝟛", "ⓐⓑⓒ", "ᴛɪɴʏ ᵗⁱⁿʸ",
              "꧁༺ fancy ༻꧂", "߁߂߃ ߒߞߏ"]
    texts += ["!!!!!!", "??!?!", "....", ".....................", "-----", "=====", "#####", "*****", "_____", "~~~~",
             "//////", "\\\\\\\\", "((()))", "[[{{<<>>}}]]", "!@#$%^&*()_+-=[]{}|;':\",./<>?`~", "a,b;c:d.e!f?g",
             " !", " ,", " .", "  ...", "...\n", "...\n\n", "!\r\n",
              "-->", "<!-- x -->", "=>", "!==", "&&||", "::", "->*", "…", "—–‐‑", "• ◦ ▪ ‣", "→⇒⟶ ← ↔",
              "∀x∈ℝ ∃y: x²≥0 ⇒ ∑ᵢ√n ≈ ∞", "€£¥₹₿¢", "©®™°", "│┌┐└┘├┤█▓▒░", "♠♥♦♣ ♔", "^^ ¯\\_(ツ)_/¯", "(╯°□°)╯︵ ┻━┻",
              "ಠ_ಠ", "$$\\frac{a}{b}$$", "````", "''''''", "\"\"\"\"\"", "' ' '", "@user #tag %d &amp;", "¿Qué? ¡Sí!"]
    texts += ["<|im_start|>", "<|im_end|>", "<|endoftext|>",
             "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "a<|im_end|>b", " <|im_end|> ",
             "<|im_start|><|im_start|>", "<|im_start", "<|im_start|", "<|im_end|>\n", "<|IM_START|>", "< |im_start|>",
             "<repo_name>x<file_sep>y",
              "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
              "<issue_start><issue_comment><issue_closed>", "<jupyter_code>1<jupyter_output>2<empty_output>",
              "<s></s><unk><pad>", "[INST] [/INST]",
              "<|begin_of_text|><|eot_id|>", "<|endoftext|><|endoftext|>", "<gh_stars>100-1000",
              "<fim_prefix>a<fim_suffix>b<fim_middle>", "text<|endoftext|>more text", "<|user|>\nhi<|end|>\n",
              "<|reserved_special_token_1|>", "<bos><eos><start_of_turn>", "</s>", "<0x0A>", "<|im_start|>\u00a0x",
              "\u2581 ▁▁a▁b"]
    texts += ["a\u00a0b", "\u00a0", "\u00a0\u00a0", " \u00a0 ", "a\u2003b",
             "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", "a\u202fb\u205fc",
             "\u3000全角\u3000空白", "a\u1680b", "a\u0085b", "a\u2028b\u2029c", "\u000b\u000c", "a\u000bb\u000cc",
             "\u00a0\n\u00a0", "x\u3000\n", "\u2009'\u2009s",
              "\u200b", "a\u200bb", "\u200b \u200b", "zero\u200cwidth\u200djoin", "\ufeffBOM", "BOM\ufeff",
              "soft\u00adhyphen", "word\u2060joiner", "\u180e", "\u061c\u200e\u200f", "a\ufe0fb", "\ufffd \ufffc",
              "\U000e0001\U000e0020", "\ue000\uf8ff private", "\U000f0000", "\U0010fffd", "\ufdd0\uffff"]
    texts += ["\x01", "\x07\x08", "a\x00b", "\x1b[31mred\x1b[0m", "\x7f", "\x80\x9f", "a\x1cb\x1dc\x1ed\x1fe",
             "\x1f \x1f", "line1\x0bline2", "\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x11", "tab\tvt\x0bff\x0cnul\x00end"]
    texts += ["a" * 50, "a" * 300, "ab" * 150, "x" * 1000,
             "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
             "pneumonoultramicroscopicsilicovolcanoconiosis", "antidisestablishmentarianism" * 5,
             "supercalifragilisticexpialidocious " * 6,
              "哈" * 60, "я" * 80, "0" * 120, "=" * 200, "AAAAaaaaAAAA" * 12, "/" * 90, "no_spaces_" * 20,
              "qzxjkvbw" * 12]
    texts += ["def f(x):\n    return x + 1\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n",
             "#include <vector>\n\nint main() { return 0; }\n",
             "SELECT * FROM t WHERE id = 42 AND name LIKE '%foo%';", "<html><body class=\"x\">&nbsp;</body></html>",
             "{\"a\": [1, 2.5, null, true], \"b\": {\"c\": \"d\\n\"}}",
              "fn main() -> Result<(), Box<dyn Error>> { Ok(()) }", "const f = async (x) => await g(x) ?? `t${x}`;",
              "if [ -f \"$1\" ]; then\n  echo $((1+2)) | tee >(cat)\nfi",
              "class A:\n    def __init__(self, *args, **kwargs):\n        super().__init__()\n        self._x = args[0]\n\n\n    @property\n    def x(self):\n        return self._x\n",
              "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n-old\n+new\n", "lambda x: x**2 // 3 % 5 @ y",
              "std::unordered_map<std::string, std::vector<int>> m;", "\\begin{align} x &= y \\\\ \\end{align}",
              "0xDEADBEEF 0b1010 0o755 1_000.5e-3f", "a->b.c::d[e](f)", "// TODO(me): fix!!! \n/* block */",
              "| a | b |\n|---|---|\n| 1 | 2 |\n",
              "# Title\n\n- item 1\n- item 2\n  - nested\n\n> quote\n\n```py\nprint('hi')\n```\n",
              "key: value\nlist:\n  - a\n  - b\n", "    four\n        eight\n            twelve\n",
              "\tone\n\t\ttwo\n\t    mixed\n", "x=1;y=2;z=x+y", "CamelCaseHTTPServerURL2Path",
              "snake_case_with_123_digits", "rm -rf ./build && make -j$(nproc)", "^(?:[a-z0-9]+\\.)*\\w{2,}$",
              "%s %d %5.2f %%"]
    return texts


def seeded(count=60, seed=20261122):
    rng = random.Random(seed)
    alphabets = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", " ", " ", "\n\t\r ",
        "'\"-_.,;:!?()[]{}<>/\\|@#$%^&*+=~`",
                 "éèàùçñöüßøåæœ", "абвгдежзийклмнопрстуфхцчшщъыьэюя", "αβγδεζηθικλμνξοπρστυφχψω", "的一是不了人我在有他这中大来上国",
                 "あいうえおカキクケコ", "가나다라마바사아자차카타파하",
                 "ابتثجحخدذرزسشصضطظعغ", "कखगघचछजझटठडढतथदधनपािीुू्", "กขคงจฉชซญดตถทนบปผัิีึ", "😀😂🎉🚀👍🏽❤️\u200d",
                 "\u00a0\u2003\u3000\u200b", "\u0301\u0308\u0323"]
    texts = []
    for _ in range(count):
        pieces = []
        for _ in range(rng.randint(3, 14)):
            alphabet = rng.choice(alphabets)
            pieces.append("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 6))))
        texts.append("".join(pieces))
    return texts


def tokenizer_texts():
    texts = hand_picked() + seeded()
    return list(dict.fromkeys(texts))
