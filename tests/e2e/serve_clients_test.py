"""Clients that know nothing of terrace, as PyPI has them, talk to `terrace serve`: openai (sync, async, streams), langchain-openai, llm."""
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

sys.path.insert(0, os.path.join(os.environ["TERRACE_SOURCE_DIR"], "tests/support/serve"))
from terrace_server import Server, skip_without_model  # noqa: E402

QUESTION = [{"role": "user", "content": "Name the capital of France."}]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


class ClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.server = Server("server.model_name=smollm2", f"server.files={cls.folder.name}").wait()
        cls.url = f"http://127.0.0.1:{cls.server.port}/v1"
        cls.client = openai.OpenAI(base_url=cls.url, api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.end()
        cls.folder.cleanup()

    def post(self, path, body):
        return self.server.post(path, body)[1]

    def completed(self, batch):
        until = time.monotonic() + 60
        while batch.status != "completed" and time.monotonic() < until:
            time.sleep(0.1)
            batch = self.client.batches.retrieve(batch.id)
        return batch

    def test_openai_lists_the_model(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["smollm2"])

    def test_openai_chats_and_completes(self):
        chat = self.client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=20, temperature=0, logprobs=True, top_logprobs=2, n=2)
        self.assertIn("Paris", chat.choices[1].message.content)
        self.assertEqual(len(chat.choices[0].logprobs.content), chat.usage.completion_tokens // 2)
        completion = self.client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=4, temperature=0, logprobs=1, echo=True, seed=3)
        self.assertTrue(completion.choices[0].text.startswith("The capital of France is Paris"), completion)

    def test_openai_streams(self):
        arguments = dict(model="smollm2", messages=QUESTION, max_tokens=20, temperature=0)
        whole = self.client.chat.completions.create(**arguments)
        text, usage = "", None
        for chunk in self.client.chat.completions.create(**arguments, stream=True, stream_options={"include_usage": True}):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            usage = chunk.usage or usage
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)
        with self.client.chat.completions.stream(**arguments) as stream:  # the helper that puts chunks together
            self.assertEqual(stream.get_final_completion().choices[0].message.content, text)

    def test_openai_asks_many_at_once(self):
        async def ask():
            async with openai.AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0) as client:
                return await asyncio.gather(*(client.completions.create(model="smollm2", prompt=f"{n} + 1 =", max_tokens=8, temperature=0) for n in range(16)))
        self.assertEqual([answer.usage.completion_tokens for answer in asyncio.run(ask())], [8] * 16)

    def test_openai_knows_our_errors(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model="gpt-5", messages=QUESTION)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="smollm2", messages=QUESTION, temperature=-1)
        self.assertEqual(caught.exception.param, "temperature")

    def test_openai_batches(self):
        lines = [{"custom_id": f"n{n}", "method": "POST", "url": "/v1/completions", "body": {"prompt": f"{n} + 1 =", "max_tokens": 4, "temperature": 0}} for n in range(5)]
        lines.append({"custom_id": "wrong", "method": "POST", "url": "/v1/completions", "body": {"prompt": 1}})
        upload = self.client.files.create(file=("lines.jsonl", "\n".join(json.dumps(line) for line in lines).encode()), purpose="batch")
        self.assertIn(upload.id, [file.id for file in self.client.files.list()])
        batch = self.client.batches.create(input_file_id=upload.id, endpoint="/v1/completions", completion_window="24h", metadata={"of": "a test"})
        batch = self.completed(batch)
        self.assertEqual((batch.status, batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed), ("completed", 6, 5, 1))
        answers = {answer["custom_id"]: answer for answer in map(json.loads, self.client.files.content(batch.output_file_id).text.splitlines())}
        self.assertEqual(sorted(answers), sorted(line["custom_id"] for line in lines))
        alone = self.client.completions.create(model="smollm2", **lines[3]["body"])
        self.assertEqual(answers["n3"]["response"]["body"]["choices"][0]["text"], alone.choices[0].text)
        self.assertEqual(self.client.files.delete(upload.id).deleted, True)
        with self.assertRaises(openai.NotFoundError):
            self.client.files.retrieve(upload.id)

    def test_openai_embeds(self):
        texts = ["The cat sat on the mat.", "A kitten lay on the rug.", "Interest rates rose again."]
        answer = self.client.embeddings.create(model="smollm2", input=texts)  # which asks for base64 and decodes it
        self.assertEqual([(item.index, item.object, len(item.embedding)) for item in answer.data], [(i, "embedding", 576) for i in range(3)])
        self.assertEqual(answer.usage.prompt_tokens, answer.usage.total_tokens)
        vectors = [item.embedding for item in answer.data]
        for vector in vectors:
            self.assertAlmostEqual(dot(vector, vector), 1, places=5)
        self.assertGreater(dot(vectors[0], vectors[1]), dot(vectors[0], vectors[2]))
        ids = [self.post("/tokenize", {"prompt": text})["tokens"] for text in texts]
        for given in (texts[1], ids[1]):  # alone; the same bits, whatever the form
            alone = self.client.embeddings.create(model="smollm2", input=given, encoding_format="float")
            self.assertEqual(alone.data[0].embedding, vectors[1])
            self.assertEqual(alone.usage.prompt_tokens, len(ids[1]))
        self.assertEqual([item.embedding for item in self.client.embeddings.create(model="smollm2", input=ids).data], vectors)
        short = self.client.embeddings.create(model="smollm2", input=texts[0], dimensions=64).data[0].embedding
        length = dot(vectors[0][:64], vectors[0][:64]) ** 0.5
        self.assertEqual(len(short), 64)
        for mine, theirs in zip(short, vectors[0]):
            self.assertAlmostEqual(mine, theirs / length, places=5)
        last = self.client.embeddings.create(model="smollm2", input=texts[0], extra_body={"pooling": "last"}).data[0].embedding
        self.assertLess(dot(last, vectors[0]), 0.99)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.embeddings.create(model="smollm2", input=texts, dimensions=577)
        self.assertEqual(caught.exception.param, "dimensions")

    def test_openai_embeds_beside_chats(self):
        async def ask():
            async with openai.AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0) as client:
                chats = [client.completions.create(model="smollm2", prompt=f"{n} + 1 =", max_tokens=30, temperature=0) for n in range(6)]
                embeddings = [client.embeddings.create(model="smollm2", input=[f"text {n}", "The capital of France is Paris. " * 40]) for n in range(6)]
                return await asyncio.gather(*chats, *embeddings)
        answers = asyncio.run(ask())[6:]
        self.assertEqual(len({tuple(answer.data[1].embedding) for answer in answers}), 1)
        self.assertEqual(len({tuple(answer.data[0].embedding) for answer in answers}), 6)

    def test_openai_batches_embeddings(self):
        lines = [{"custom_id": f"n{n}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "smollm2", "input": ["a text", f"number {n}"]}} for n in range(3)]
        upload = self.client.files.create(file=("lines.jsonl", "\n".join(json.dumps(line) for line in lines).encode()), purpose="batch")
        batch = self.completed(self.client.batches.create(input_file_id=upload.id, endpoint="/v1/embeddings", completion_window="24h"))
        self.assertEqual((batch.status, batch.request_counts.completed), ("completed", 3))
        answers = {answer["custom_id"]: answer["response"]["body"] for answer in map(json.loads, self.client.files.content(batch.output_file_id).text.splitlines())}
        alone = self.client.embeddings.create(**lines[2]["body"], encoding_format="float")
        self.assertEqual([item["embedding"] for item in answers["n2"]["data"]], [item.embedding for item in alone.data])

    def test_langchain_embeds(self):
        model = OpenAIEmbeddings(model="smollm2", base_url=self.url, api_key="none", max_retries=0, check_embedding_ctx_length=False)  # else it sends OpenAI's token ids
        vectors = model.embed_documents(["The cat sat on the mat.", "Interest rates rose again."])
        self.assertEqual(model.embed_query("The cat sat on the mat."), vectors[0])

    def test_langchain(self):
        model = ChatOpenAI(model="smollm2", base_url=self.url, api_key="none", temperature=0, max_tokens=20, max_retries=0)
        answer = model.invoke("Name the capital of France.")
        self.assertIn("Paris", answer.content)
        self.assertEqual("".join(chunk.content for chunk in model.stream("Name the capital of France.")), answer.content)
        self.assertGreater(answer.usage_metadata["output_tokens"], 0)

    def test_llm(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "extra-openai-models.yaml"), "w") as models:
                models.write(f"- model_id: here\n  model_name: smollm2\n  api_base: {self.url}\n")
            command = [os.path.join(os.path.dirname(sys.executable), "llm"), "-m", "here", "-o", "temperature", "0", "-o", "max_tokens", "20", "Name the capital of France."]
            done = subprocess.run(command, env={**os.environ, "LLM_USER_PATH": folder, "OPENAI_API_KEY": "none"}, capture_output=True, text=True, timeout=60)
        self.assertIn("Paris", done.stdout, done.stderr)


if __name__ == "__main__":
    skip_without_model()
    unittest.main(verbosity=1)
