package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3/manifest"
)

// docFiles are the texts that users read, in the order in which they would.
var docFiles = []string{"README.md", "docs/apps.md", "docs/cli.md", "docs/tui.md", "docs/server.md", "docs/plugins.md", "docs/signon.md", "docs/addons.md", "docs/backups.md", "docs/moving.md"}

// elsewhere are the commands of the texts that TestDocCommands does not run,
// with what does, or why nothing can.
var elsewhere = map[string]string{
	"hop3 context add new https://hop3.new.example.com":                    "TestMove does, to a server there is",
	"hop3 login https://hop3.new.example.com --username ada":               "TestMove does, to a server there is",
	"hop3 app move blog new":                                               "TestMove does",
	"hop3 app receive --app blog":                                          "blog is an app of that server: TestMove does",
	"hop3 app move blog https://hop3.new.example.com --secret-file secret": "needs that server: TestMove does",
	"go run ./cmd/hop3 run --demo":                                         "testdata/script/demo.txtar runs it built",
	"tests/run":                                                            "is what runs this",
	"go build -o /usr/local/bin/hop3 ./cmd/hop3":                           "TestMain does, to another place",
	"hop3 run":                   "startServer does",
	"hop3 addon create s3 files": "TestS3AndEmail does, where there is an S3 server",
	"hop3 addon email test mail ada@example.org": "would send to strangers: the tests of package addons have a mail server",
	"hop3 addon create s3 photos --set endpoint=https://s3.eu-west-3.amazonaws.com --set region=eu-west-3 --set bucket=my-photos --set access_key=AKIAEXAMPLE --password-stdin < secret": "needs that bucket: TestS3Given of package addons has one",
	"hop3 addon create email mail --set host=smtp.example.com --set user=app@example.com --set from=app@example.com --password-stdin < password":                                         "needs that server: TestS3AndEmail has one",
	"hop3-server db:restore hop3-copy.db":                                       "testdata/script/backup.txtar does, with the server stopped",
	"hop3-server db:restore /home/hop3/backups/platform/20261126_031500_a1b2c3": "testdata/script/backup.txtar does, with the server stopped",
	"./caddy hop3 run":                                                                             "TestXcaddy does",
	"hop3 caddy run --config Caddyfile":                                                            "testdata/script/caddyfile.txtar does",
	"hop3 login --username ada":                                                                    "asks for a password at a terminal; the tests of hop3/cli have one",
	`hop3 login "https://hop3.example.com?token=…"`:                                                "needs that server; the README's login is run",
	"hop3 notify add slack https://hooks.slack.com/services/T000/B000/XXXX":                        "would send to strangers: the tests of hop3/notify have receivers",
	"hop3 notify add ntfy https://ntfy.sh/my-topic --secret tk_example":                            "would send to strangers: the tests of hop3/notify have receivers",
	"hop3 notify add email ops@example.com":                                                        "would send to strangers: the tests of hop3/notify have receivers",
	"hop3 notify add webhook https://example.com/hook --app blog --kind deploy --kind app.crashed": "would send to strangers: the tests of hop3/notify have receivers",
	"hop3 notify test NAME":                                                                        "would send to strangers: the tests of hop3/notify have receivers",
	"hop3 notify remove NAME":                                                                      "would send to strangers: the tests of hop3/notify have receivers",
	"CGO_ENABLED=1 xcaddy build v2.11.9 --with github.com/abilian/hop3/cmd/hop3cmd --replace github.com/abilian/hop3=. --with example.com/hop3-make@v0.0.0=./tests/plugin":                "TestXcaddy does the same with xcaddy's library",
	"CGO_ENABLED=1 xcaddy build v2.11.9 --with github.com/abilian/hop3/cmd/hop3cmd --replace github.com/abilian/hop3=. --with example.com/hop3-memcached@v0.0.0=./tests/plugin/memcached": "TestXcaddy does the same with xcaddy's library",
}

// TestDocCommands runs the commands of the texts, one after the other in the
// order of the texts, as a user with a repository would: against a real server.
func TestDocCommands(t *testing.T) {
	s := startServer(t)
	dir, err := s.repository("blog", docRepository)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(dir, "git", "remote", "remove", "hop3"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ada"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range docFiles {
		for _, block := range docBlocks(t, file) {
			if block.kind == "caddyfile" {
				if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(block.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, command := range block.commands() {
				seen[command] = true
				if elsewhere[command] == "" {
					s.runDocCommand(t, dir, fmt.Sprintf("%s:%d", file, block.line), command)
				}
			}
		}
	}
	if code, body, err := s.get(t.Context(), "blog.localhost", "/"); err != nil || code != http.StatusOK {
		t.Errorf("in the end the app answers %d %q, %v", code, body, err)
	}
	for command := range elsewhere {
		if !seen[command] {
			t.Errorf("no text has the command %q any more", command)
		}
	}
}

// runDocCommand runs a command with the ports of the test's server in the place
// of the usual ones, and what follows a log for a moment.
func (s *server) runDocCommand(t *testing.T, dir, where, command string) {
	t.Helper()
	line := strings.NewReplacer("localhost:2222", "127.0.0.1:"+strconv.Itoa(s.ssh), ":8000", ":"+strconv.Itoa(s.rpc)).Replace(command)
	follows := strings.HasSuffix(line, " -f")
	if follows {
		line = "timeout --signal=INT 2 " + line
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir, cmd.Env = dir, append(slices.Clone(s.env), "PASSWORD=correct horse battery")
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); follows && (code == 124 || code == 130) {
		err = nil
	}
	if err != nil {
		t.Errorf("%s: %s: %v\n%s", where, command, err, out)
	}
}

// docRepository is a repository that the README's reader may have.
var docRepository = map[string]string{
	"Procfile":         "web: python app.py\n",
	"requirements.txt": "",
	"manage.py":        "print('migrated')\n",
	"app.py": `import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ.get("COLOUR", "none").encode())

print("starting", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`,
}

// TestDocManifests reads the samples of hop3.toml and Procfile as a deploy does.
func TestDocManifests(t *testing.T) {
	read := map[string]int{}
	for _, block := range docBlocks(t, "docs/apps.md") {
		name := "hop3.toml"
		switch {
		case strings.HasPrefix(block.text, "web:"), strings.HasPrefix(block.text, "cron:"):
			name = "Procfile"
		case !strings.HasPrefix(block.text, "["):
			continue
		}
		read[name]++
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(block.text), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Load(os.DirFS(dir))
		if err != nil {
			t.Errorf("docs/apps.md:%d: %v", block.line, err)
		} else if len(m.Unsupported) > 0 {
			t.Errorf("docs/apps.md:%d: not supported: %v", block.line, m.Unsupported)
		}
	}
	if read["Procfile"] < 2 || read["hop3.toml"] < 6 {
		t.Errorf("these samples were read: %v", read)
	}
}

// docBlock is code of a text, indented by four spaces or fenced.
type docBlock struct {
	line       int
	kind, text string
}

// docBlocks returns the code of a text.
func docBlocks(t *testing.T, file string) []docBlock {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []docBlock
	var open *docBlock
	fenced := false
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		fence, isFence := strings.CutPrefix(line, "```")
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case isFence && fenced:
			fenced, open = false, nil
		case isFence:
			blocks = append(blocks, docBlock{line: n, kind: fence})
			fenced, open = true, &blocks[len(blocks)-1]
		case fenced:
			open.text += line + "\n"
		case indented && open == nil:
			blocks = append(blocks, docBlock{line: n, text: code + "\n"})
			open = &blocks[len(blocks)-1]
		case indented:
			open.text += code + "\n"
		case line == "" && open != nil:
			open.text += "\n"
		default:
			open = nil
		}
	}
	return blocks
}

// notCommands are how the blocks begin that are files.
var notCommands = []string{"web:", "cron:", "["}

// commands returns the lines of a block of commands, none of a file's.
func (b docBlock) commands() []string {
	if b.kind != "" || slices.ContainsFunc(notCommands, func(start string) bool { return strings.HasPrefix(b.text, start) }) {
		return nil
	}
	var out []string
	for line := range strings.Lines(b.text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
