"""A real private job: SmolLM2-135M learns dialogues at a target epsilon, through the server, with the unmodified `openai` package.

The lines are the question and answer pairs of chatterbot-corpus (BSD); one in eight, taken as public, measures. Prints what was promised, what
was spent, and the validation loss before and after. Run by `make demo-private`; needs .venv, the release build and `make demo-assets`.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import openai
import yaml

ROOT = Path(__file__).resolve().parent.parent
GGUF = ROOT / ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf"
VALIDATION_EVERY = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release", help="where trainyard and trainyard-trainer are")
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--batch", type=int, default=64, help="lines of a step, on average")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--lines", type=int, help="train on so many lines only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server, client = serve(Path(directory), args.bin)
        try:
            run(client, args)
        finally:
            server.terminate()
            server.wait()


def serve(directory, programs):
    """A server on a free port with the model, and a client of it."""
    data = directory / "data"
    data.mkdir()
    subprocess.run([programs / "trainyard", "models", "import", GGUF, "--name", "smollm2-135m-instruct", "--data-dir", data],
                   check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    log = open(directory / "server.log", "wb")
    server = subprocess.Popen([programs / "trainyard", "serve", "--data-dir", data, "--listen", address,
                               "--bootstrap-key-file", directory / "key"], stdout=log, stderr=log)
    for _ in range(150):
        try:
            urllib.request.urlopen(f"http://{address}/healthz/ready")
            break
        except OSError:
            time.sleep(0.2)
    else:
        server.kill()
        sys.exit((directory / "server.log").read_text())
    return server, openai.OpenAI(base_url=f"http://{address}/v1", api_key=(directory / "key").read_text().strip())


def run(client, args):
    train, valid = (as_lines(part) for part in dialogues())
    train = train[: args.lines]
    files = [client.files.create(file=(name, "".join(lines).encode()), purpose="fine-tune")
             for name, lines in (("train.jsonl", train), ("valid.jsonl", valid))]
    job = client.fine_tuning.jobs.create(
        model="smollm2-135m-instruct", training_file=files[0].id, validation_file=files[1].id, seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": args.epochs, "batch_size": args.batch}}},
        extra_body={"trainyard": {"privacy": {"target_epsilon": args.epsilon}, "optimizer": {"learning_rate": args.learning_rate},
                                  "evaluation": {"every_steps": 1000}}})
    plan = job.model_extra["trainyard"]["privacy"]
    print(f"{len(train)} lines to learn, {len(valid)} to measure; {plan['steps']} steps of {args.batch} lines on average, noise multiplier "
          f"{plan['noise_multiplier']:.4f}, delta {plan['delta']:.2e}, epsilon to expect {plan['expected_epsilon']:.4f}", flush=True)
    begun, told = time.monotonic(), 0
    while job.status not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
        progress = job.model_extra["trainyard"]["progress"]
        if progress["step"] >= told + 5:
            told = progress["step"]
            print(f"step {told} of {plan['steps']}, epsilon {progress['privacy']['epsilon']:.4f}", flush=True)
    if job.status != "succeeded":
        sys.exit(f"{job.status}: {job.error}")
    result = job.model_extra["trainyard"]["result"]
    spent = result["privacy"]
    print(f"epsilon spent           {spent['epsilon']:.4f} at delta {spent['delta']:.2e}, {spent['steps']} steps charged")
    print(f"signal over noise       {result['signal_to_noise']:.4f}")
    print(f"validation loss before  {result['initial_valid_loss']:.4f}")
    print(f"validation loss after   {result['valid_loss']:.4f}")
    print(f"minutes                 {(time.monotonic() - begun) / 60:.1f}")
    if not args.epsilon - 0.1 <= spent["epsilon"] <= args.epsilon or result["valid_loss"] >= result["initial_valid_loss"]:
        sys.exit("that is not what was promised")


def dialogues():
    """Question and answer pairs, each once, in an order of their own: those to learn and those to measure."""
    import chatterbot_corpus

    folder = Path(chatterbot_corpus.__file__).parent / "data/english"
    pairs = {}
    for path in sorted(folder.glob("*.yml")):
        for turns in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            for question, answer in zip(turns, turns[1:]):
                pairs[(str(question), str(answer))] = None
    pairs = list(pairs)
    random.Random(1).shuffle(pairs)
    measured = pairs[::VALIDATION_EVERY]
    return [pair for number, pair in enumerate(pairs) if number % VALIDATION_EVERY], measured


def as_lines(pairs):
    return [json.dumps({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}) + "\n"
            for question, answer in pairs]


if __name__ == "__main__":
    main()
