/// Home before the first run: three ways to begin.
import { Copy } from "../../components/controls";
import { Empty } from "../../components/notes";

export function Nothing() {
  const server = window.location.origin;
  const snippet = `import tinsmith

service = tinsmith.ServiceClient(base_url="${server}", api_key="tml-…")
training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16)
text = training.get_tokenizer().encode("The tinsmith mends the kettle.")
for step in range(20):
    passed = training.forward_backward([tinsmith.Datum.from_tokens(text)], "cross_entropy")
    training.optim_step(tinsmith.AdamParams(learning_rate=1e-3))
    training.log({"loss": passed.result().loss}, step)`;
  return (
    <Empty title="No runs yet">
      <p>A run appears here as soon as a program makes one. Three ways to begin:</p>
      <div className="ways">
        <div className="card">
          <h3>A recipe</h3>
          <p>Training that is ready to run, from a terminal.</p>
          <pre>
            <code>tinsmith recipes run pig_latin</code>
          </pre>
          <a href="/docs/using-recipes">Which recipes there are</a>
        </div>
        <div className="card">
          <h3>A program of yours</h3>
          <pre>
            <code>{snippet}</code>
          </pre>
          <Copy text={snippet} what="the program" />
        </div>
        <div className="card">
          <h3>A tutorial</h3>
          <p>From nothing to a model that has learnt your data, in ten minutes.</p>
          <a href="/docs/quickstart">Quickstart</a>
        </div>
      </div>
    </Empty>
  );
}
