/// An address that leads nowhere.
import { Link } from "wouter";
import { Empty } from "../../components/notes";

export function MissingPage() {
  return (
    <Empty title="There is nothing here" heading="h1">
      <p>
        The address may be misspelt, or what was there is gone or belongs to a team that is not
        yours.
      </p>
      <Link to="/" className="button">
        Your runs
      </Link>
    </Empty>
  );
}
