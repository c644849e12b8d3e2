"""Small made-up data in the true layouts of CL_Benchmark and TRACE."""

import json
from pathlib import Path
from typing import Any

GROUPS = {
    "SC": "amazon yelp IMDB SST-2",
    "TC": "agnews dbpedia yahoo",
    "NLI": "MNLI CB RTE",
    "BoolQA": "BoolQA",
    "COPA": "COPA",
    "MultiRC": "MultiRC",
    "QQP": "QQP",
    "WiC": "WiC",
}
"""Folders of CL_Benchmark and the folders in them, written out by hand."""

FIVE = ["very negative", "negative", "neutral", "positive", "very positive"]
LABELS = {
    "amazon": FIVE,
    "yelp": FIVE,
    "IMDB": ["Good", "Bad"],
    "SST-2": ["Good", "Bad"],
    "agnews": ["World", "Sports", "Business", "Science or Technology"],
    "dbpedia": [
        *("Company", "Educational Institution", "Artist", "Athlete", "Office Holder", "Mean of Transportation"),
        *("Building", "Natural Place", "Village", "Animal", "Plant", "Album", "Film", "Written Work"),
    ],
    "yahoo": [
        *("Society & Culture", "Science & Mathematics", "Health", "Education & Reference", "Computers & Internet"),
        *("Sports", "Business & Finance", "Entertainment & Music", "Family & Relationships", "Politics & Government"),
    ],
    "MNLI": ["neutral", "entailment", "contradiction"],
    "CB": ["entailment", "contradiction", "neutral"],
    "RTE": ["contradiction", "entailment"],
    "QQP": ["False", "True"],
    "BoolQA": ["True", "False"],
    "COPA": ["A", "B"],
    "MultiRC": ["False", "True"],
    "WiC": ["True", "False"],
}
"""What O-LoRA's labels.json hold, in their order, written out by hand."""

TRACE = {
    "C-STANCE": (
        "判断以下文本对指定对象的态度\n文本\n{}\n态度",
        "ABC",
    ),
    "FOMC": (
        "What is the monetary policy stance for the following text? A. dovish, B. hawkish, C. neutral.\n{}\nStance:",
        "ABC",
    ),
    "MeetingBank": ("Write a summary of the following meeting transcripts.\nMeeting transcripts:\n{}\nSummary:", ""),
    "Py150": ("<s> import {} <EOL>", ""),
    "ScienceQA": ("Choose an answer for the following question and give your reasons.\n\nQuestion:\n{}\n\nAnswer:", ""),
    "NumGLUE-cm": ("Solve the following math problem.\nQuestion:\n{}\nAnswer:", ""),
    "NumGLUE-ds": ("Solve the following math problem.\nQuestion:\n{}\nAnswer:", ""),
    "20Minuten": (
        "Provide a simplified version of the following paragraph in German.\n\nParagraph:\n{}\n\nSimplification:",
        "",
    ),
}
"""Prompts of TRACE's files with `{}` for what changes, and the letters that answer where there are such."""


def write(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def sentences(dataset: str, part: str, each: int) -> list[dict[str, str]]:
    """So many rows of every label, one label after another."""
    labels = LABELS[dataset]
    return [
        {"label": labels[number % len(labels)], "sentence": f"{dataset} {part} {number}"}
        for number in range(each * len(labels))
    ]


def cl_benchmark(root: Path, each: int = 12) -> Path:
    """All fifteen sets, `each` training and three test rows a label; MNLI has one test row without a label."""
    for group, names in GROUPS.items():
        for name in names.split():
            folder = root / "CL_Benchmark" / group / name
            test = sentences(name, "test", 3)
            if name == "MNLI":
                test.insert(1, {"label": "-", "sentence": "nobody agreed on this one"})
            write(folder / "train.json", sentences(name, "train", each))
            write(folder / "dev.json", test)
            write(folder / "test.json", test)
            write(folder / "labels.json", LABELS[name])
    return root


def trace(root: Path, folder: str = "LLM-CL-Benchmark_5000") -> Path:
    """All eight tasks, 6 rows to train, 3 to validate and 4 to test."""
    for name, (prompt, letters) in TRACE.items():
        for part, count in {"train": 6, "eval": 3, "test": 4}.items():
            rows = [
                {
                    "prompt": prompt.format(f"{part} {number}"),
                    "answer": letters[number % 3 : number % 3 + 1] or f"so {number}\n",
                }
                for number in range(count)
            ]
            write(root / folder / name / f"{part}.json", rows)
    return root
