package rpc_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/command"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/rpc"
	"github.com/abilian/hop3/hop3/stream"
)

var update = flag.Bool("update", false, "write the answers of tests/testdata/rpc anew")

const conformanceDir = "../../tests/testdata/rpc"

// TestConformance sends the requests of tests/testdata/rpc over HTTP and
// compares the answers. A file is a case with a server of its own, and has
//
//	> admin app status --app blog      a command line as an administrator, "user", a
//	                                   deployer, "viewer", or "nobody", without a token;
//	> admin ["env","set","A=b c"]      the same, as JSON
//	+ {"streaming": true}              what else is in extra_args
//	> nobody POST /rpc                 another request
//	| {"jsonrpc": …                    its body, or the header lines of a GET
//	! restart                          a server that has ended and begun again
//	# …                                a comment
//
// each with its answer below: the status, then the items of the result, or the
// error, one a line. The answer to another request is its status, the headers
// of its content, and its body as it is. What is never the same has a name in
// angle brackets, that a later request may use: the first UUID is <uuid1>,
// wherever it comes again; <any> is written by hand for what is no matter of the
// wire, as a list of all commands. <archive> is an app, <broken> one that does not
// build. -update writes the answers anew; compare them with the contract.
func TestConformance(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(conformanceDir, "*.txt"))
	must(t, err)
	if len(files) < 10 {
		t.Fatalf("%d cases", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			must(t, err)
			got := newConversation(t).replay(string(want))
			if *update {
				must(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			for i, line := range strings.Split(got, "\n") {
				lines := strings.Split(string(want), "\n")
				if i >= len(lines) || lines[i] != line {
					t.Fatalf("%s:%d says\n%s\nbut the answer is\n%s", file, i+1, slices.Concat(lines, make([]string, i+1))[i], line)
				}
			}
		})
	}
}

// conversation is a case that is replayed.
type conversation struct {
	*world
	tokens map[string]string
	holes  map[string]string // name, without brackets -> value
	id     int
}

func newConversation(t *testing.T) *conversation {
	t.Helper()
	w := newWorld(t)
	c := &conversation{world: w, holes: map[string]string{}}
	c.tokens = map[string]string{"admin": w.admin, "user": w.user, "viewer": w.account("victor", false), "nobody": "", "forger": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.x"}
	host := platform.Actor{Username: "host", Admin: true}
	must(t, w.platform.SetMember(t.Context(), host, hop3.DefaultTeam, hop3.Member{Username: "victor", Role: hop3.RoleViewer}))
	c.holes["archive"], c.holes["broken"] = archiveOf(t, w.project("hello")), archiveOf(t, w.project("broken"), "broken")
	c.handler.Streams.Dir = t.TempDir()
	return c
}

// archiveOf packs a directory as the client does, with more files that are empty.
func archiveOf(t *testing.T, dir string, more ...string) string {
	t.Helper()
	for _, name := range more {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	out := tar.NewWriter(zip)
	must(t, out.AddFS(os.DirFS(dir)))
	must(t, out.Close())
	must(t, zip.Close())
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// replay returns a case with the answers that this server gives.
func (c *conversation) replay(text string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		line := lines[i]
		i++
		switch {
		case strings.HasPrefix(line, "#"), line == "":
			fmt.Fprintln(&out, line)
		case line == "! restart":
			fmt.Fprintln(&out, line)
			c.restart()
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&out, line)
			var extra, body []string
			for ; i < len(lines) && (strings.HasPrefix(lines[i], "+ ") || strings.HasPrefix(lines[i], "| ")); i++ {
				fmt.Fprintln(&out, lines[i])
				if rest, ok := strings.CutPrefix(lines[i], "| "); ok {
					body = append(body, rest)
				} else {
					extra = append(extra, lines[i][2:])
				}
			}
			for answer := range strings.Lines(c.exchange(line[2:], strings.Join(extra, ""), body)) {
				if i < len(lines) && like(lines[i], strings.TrimSuffix(answer, "\n")) {
					answer = lines[i] + "\n"
				}
				fmt.Fprint(&out, answer)
				if inAnswer(lines, i) {
					i++
				}
			}
			for inAnswer(lines, i) { // more than there is now
				i++
			}
		default:
			c.t.Fatalf("%q is not part of a case", line)
		}
	}
	return out.String()
}

// inAnswer reports whether a line of a case is one of an answer.
func inAnswer(lines []string, i int) bool {
	return i < len(lines) && lines[i] != "" && !strings.ContainsAny(lines[i][:1], ">#!")
}

// like reports whether a line of an answer is what a case says with <any> in it.
func like(pattern, line string) bool {
	if !strings.Contains(pattern, "<any>") {
		return false
	}
	matches, err := regexp.MatchString("^"+strings.ReplaceAll(regexp.QuoteMeta(pattern), "<any>", ".*")+"$", line)
	return err == nil && matches
}

// exchange sends one request and returns its answer as a case writes it.
func (c *conversation) exchange(line, extra string, lines []string) string {
	role, rest, _ := strings.Cut(line, " ")
	token, ok := c.tokens[role]
	if !ok {
		token = c.fill(role) // "<jwt1>"
	}
	method, path, isOther := strings.Cut(rest, " /")
	if isOther && !strings.Contains(method, " ") && method == strings.ToUpper(method) {
		return c.other(token, method, "/"+path, lines)
	}
	return c.command(token, rest, extra)
}

func (c *conversation) command(token, line, extra string) string {
	args := strings.Fields(c.fill(line))
	if strings.HasPrefix(line, "[") {
		must(c.t, json.Unmarshal([]byte(c.fill(line)), &args))
	}
	more := map[string]any{"verbosity": 1}
	if extra != "" {
		must(c.t, json.Unmarshal([]byte(c.fill(extra)), &more))
	}
	c.id++
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "cli", "id": c.id, "params": map[string]any{"cli_args": args, "extra_args": more}})
	must(c.t, err)
	resp, text := c.send(token, http.MethodPost, "/rpc", string(body), nil)
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		c.t.Errorf("%s: the content type is %q", line, kind)
	}
	var answer map[string]json.RawMessage
	must(c.t, json.Unmarshal([]byte(text), &answer))
	wantID := fmt.Sprint(c.id)
	if resp.StatusCode == http.StatusBadRequest {
		wantID = "null" // it was not read so far
	}
	_, hasResult := answer["result"]
	_, hasError := answer["error"]
	if len(answer) != 3 || string(answer["jsonrpc"]) != `"2.0"` || string(answer["id"]) != wantID || hasResult == hasError {
		c.t.Errorf("%s: the envelope is %s", line, text)
	}
	out := fmt.Sprintln(resp.StatusCode)
	if hasError {
		return out + c.name(string(answer["error"])) + "\n"
	}
	var items []json.RawMessage
	must(c.t, json.Unmarshal(answer["result"], &items))
	for _, item := range items {
		if bytes.Contains(item, []byte("Waiting: another change of")) {
			continue // the last one still tidies up, or not
		}
		if it := (struct{ T string }{}); json.Unmarshal(item, &it) != nil || it.T == "" {
			c.t.Errorf("%s: an item is %s", line, item)
		}
		out += c.name(string(item)) + "\n"
	}
	return out
}

// other sends a request that is no command line.
func (c *conversation) other(token, method, path string, lines []string) string {
	header, body := http.Header{}, ""
	if method == http.MethodGet {
		for _, l := range lines {
			name, value, _ := strings.Cut(l, ": ")
			header.Set(name, value)
		}
	} else {
		header.Set("Content-Type", "application/json")
		body = strings.ReplaceAll(c.fill(strings.Join(lines, "\n")), "<big>", strings.Repeat("a", 5<<20))
	}
	resp, text := c.send(token, method, c.fill(path), body, header)
	out := fmt.Sprintln(resp.StatusCode)
	for _, name := range []string{"Allow", "Location", "Content-Type", "Cache-Control", "X-Accel-Buffering"} {
		if v := resp.Header.Get(name); v != "" {
			out += name + ": " + v + "\n"
		}
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		if line != "" { // that ends an event, and would end the answer here
			out += c.name(line) + "\n"
		}
	}
	return out
}

func (c *conversation) send(token, method, path, body string, header http.Header) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.server.URL+path, strings.NewReader(body))
	must(c.t, err)
	maps.Copy(req.Header, header)
	if token != "" {
		req.Header.Set("Authorization", "bearer "+token) // in any case of letters
	}
	client := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	must(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(c.t, err)
	return resp, string(text)
}

// restart puts a new server in the old one's place, as after a restart: with
// nothing of the old one but its disk.
func (c *conversation) restart() {
	streams := &stream.Hub{Dir: c.handler.Streams.Dir}
	c.server.Config.Handler = &rpc.Handler{
		Platform: c.platform, Streams: streams, Version: c.handler.Version, Logger: c.handler.Logger, Uploads: c.handler.Uploads,
		Commands: command.New(command.Server{Platform: c.platform, Streams: streams, Version: c.handler.Version, Plugins: func() []command.Plugin { return nil }}),
	}
}

// kinds are what is never the same. Those with a number are told apart.
var kinds = []struct {
	name     string
	pattern  *regexp.Regexp
	numbered bool
}{
	{"jwt", regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`), true},
	{"uuid", regexp.MustCompile(`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`), true},
	{"time", regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z| UTC|[+-]\d\d:\d\d)?`), false},
	{"duration", regexp.MustCompile(`"duration":[0-9.e-]+`), false},
	{"took", regexp.MustCompile(`\b[0-9.]+(?:ns|ms|µs|\\u00b5s|s)\b`), false},
	{"path", regexp.MustCompile(`/tmp/[^" ,)\\]+`), false},
	{"port", regexp.MustCompile(`127\.0\.0\.1:\d+`), false},
}

// name puts holes in the place of what is never the same.
func (c *conversation) name(text string) string {
	for _, kind := range kinds {
		text = kind.pattern.ReplaceAllStringFunc(text, func(value string) string {
			if !kind.numbered {
				return "<" + kind.name + ">"
			}
			for name, known := range c.holes {
				if known == value {
					return "<" + name + ">"
				}
			}
			for n := 1; ; n++ {
				name := fmt.Sprint(kind.name, n)
				if _, taken := c.holes[name]; !taken {
					c.holes[name] = value
					return "<" + name + ">"
				}
			}
		})
	}
	return text
}

// fill puts the values into a request.
func (c *conversation) fill(text string) string {
	for name, value := range c.holes {
		text = strings.ReplaceAll(text, "<"+name+">", value)
	}
	return text
}
