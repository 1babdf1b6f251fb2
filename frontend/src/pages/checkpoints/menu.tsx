/// What can be done with one checkpoint, and what can be copied of it.
import * as Menu from "@radix-ui/react-dropdown-menu";
import type { Checkpoint } from "../../api/client";
import type { Changes } from "./changes";
import { command, lines } from "./selection";

export const DAY_S = 86_400;
export const TIMES: { text: string; seconds: number | null }[] = [
  { text: "1 day", seconds: DAY_S },
  { text: "7 days", seconds: 7 * DAY_S },
  { text: "30 days", seconds: 30 * DAY_S },
  { text: "until deleted", seconds: null },
];

interface MenuProps {
  one: Checkpoint;
  changes: Changes;
  mayChange: boolean;
}

export function CheckpointMenu({ one, changes, mayChange }: MenuProps) {
  const copy = async (what: string, text: string) => {
    try {
      await navigator.clipboard.writeText(text);
      changes.tell({ text: `Copied ${what}.`, refused: [], undo: [] });
    } catch {
      // browsers copy on https and on localhost alone
      changes.tell({ text: "", refused: [`The browser does not copy here: ${text}`], undo: [] });
    }
  };
  const paths = [one.path];
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="quiet dots" aria-label={`More of ${one.name}, ${one.segment}`}>
        ⋯
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu" align="end" sideOffset={4} collisionPadding={8}>
          <Menu.Item onSelect={() => changes.download(one.path)}>Download</Menu.Item>
          <Menu.Separator />
          <Menu.Item onSelect={() => copy("the address", one.path)}>Copy address</Menu.Item>
          <Menu.Item onSelect={() => copy("the command", command(one))}>Copy command</Menu.Item>
          <Menu.Item onSelect={() => copy("two lines of Python", lines(one))}>
            Copy as Python
          </Menu.Item>
          {mayChange && (
            <>
              <Menu.Separator />
              <Menu.Item
                onSelect={() => changes.change(one.public ? "unpublish" : "publish", paths)}
              >
                {one.public ? "Unpublish" : "Publish: everybody may read it"}
              </Menu.Item>
              {TIMES.map(({ text, seconds }) => (
                <Menu.Item key={text} onSelect={() => changes.change("ttl", paths, seconds)}>
                  Keep {seconds === null ? text : `${text} from now`}
                </Menu.Item>
              ))}
              <Menu.Separator />
              <Menu.Item onSelect={() => changes.change("delete", paths)}>Delete</Menu.Item>
            </>
          )}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}
