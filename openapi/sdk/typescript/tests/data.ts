/** Lines to train on, and jobs. */

import type { CreateJob } from "trainyard";

const NUMBERS = "zero one two three four five six seven eight nine".split(" ");

/** `count` chat lines. */
export function chat(count: number): string {
  return Array.from({ length: count }, (_, i) => {
    const [a, b] = [i % 10, Math.floor(i / 10) % 10];
    const messages = [
      { role: "user", content: `What is the sum of ${NUMBERS[a]} and ${NUMBERS[b]}?` },
      { role: "assistant", content: a + b < 10 ? NUMBERS[a + b] : `1 ${NUMBERS[a + b - 10]}` },
    ];
    return `${JSON.stringify({ messages })}\n`;
  }).join("");
}

/** A job of some seconds. */
export function short(trainingFile: string, more: Partial<CreateJob> = {}): CreateJob {
  return {
    model: "tiny",
    training_file: trainingFile,
    method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1, batch_size: 8 } } },
    ...more,
  };
}

/** A job that does not end within a test by itself. */
export function long(trainingFile: string): CreateJob {
  return short(trainingFile, {
    method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 50, batch_size: 1 } } },
    trainyard: { adapter: { rank: 16 } },
  });
}
