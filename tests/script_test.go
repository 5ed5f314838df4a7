package tests

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the stories of testdata/script. Besides the commands of
// testscript they have:
//
//	server start|stop|kill   run `hop3 run` and wait for it; SIGTERM; SIGKILL
//	server is <command> …    what start runs from now on
//	server with <name>=<value>   a variable of what start runs from now on
//	get [-code N] <host> [<path>]   GET over the public port into stdout
//	fails <host> <path> [<name>=<value> …]   POST over the public port that gets no
//	                         whole answer of the app; with headers
//	eventually <command> …   a program, retried until it succeeds
//	login                    make an administrator and log in as it
//	forge <directory>        serve its repositories over HTTP, at $FORGE
//	hook <host> <webhook> <event> <ref> <commit>   send what a git host would;
//	                         the webhook's URL and secret are in the file
//	pids <name>              note the app processes into the file
func TestScripts(t *testing.T) {
	testscript.Run(t, storyParams("testdata/script"))
}

// storyParams are what the stories of a directory are run with.
func storyParams(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			s, err := newServer(env.WorkDir)
			if err != nil {
				return err
			}
			var fixed int // a port of the host that is an app's
			if err := freePorts(&fixed); err != nil {
				return err
			}
			env.Values["server"] = s
			env.Vars = append(env.Vars, s.env...)
			env.Vars = append(env.Vars, fmt.Sprintf("REMOTE=ssh://hop3@127.0.0.1:%d", s.ssh),
				"HTTP="+strconv.Itoa(s.http), "HTTPS="+strconv.Itoa(s.https), "SSH="+strconv.Itoa(s.ssh), "RPC="+strconv.Itoa(s.rpc), "FIXED="+strconv.Itoa(fixed), "APPS="+appsDir())
			env.Defer(s.end)
			return nil
		},
		Condition: func(word string) (bool, error) {
			if word == "isolated" { // the server has the rights to isolate apps
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("there is no condition %q", word)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":     cmdServer,
			"get":        cmdGet,
			"fails":      cmdFails,
			"eventually": cmdEventually,
			"pids":       cmdPIDs,
			"forge":      cmdForge,
			"hook":       cmdHook,
			"login":      func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(serverOf(ts).logIn()) },
		},
	}
}

// appsDir is where the sample apps are.
func appsDir() string {
	dir, _ := filepath.Abs("apps")
	return dir
}

func serverOf(ts *testscript.TestScript) *server { return ts.Value("server").(*server) }

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts)
	if len(args) == 0 {
		ts.Fatalf("usage: server start|stop|kill")
	}
	var err error
	switch args[0] {
	case "is":
		s.program = append([]string{filepath.Join(binaries, args[1])}, args[2:]...)
	case "with":
		s.env = append(s.env, args[1:]...)
	case "start":
		err = s.start(args[1:]...)
	case "stop":
		err = s.signal(syscall.SIGTERM)
	case "kill":
		s.signal(syscall.SIGKILL)
	default:
		ts.Fatalf("server %s?", args[0])
	}
	if (err != nil) != neg {
		log, _ := os.ReadFile(s.log)
		ts.Fatalf("server %s: %v\n%s", args[0], err, tail(log, 4000))
	}
}

func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	want := http.StatusOK
	if len(args) > 1 && args[0] == "-code" {
		code, err := strconv.Atoi(args[1])
		ts.Check(err)
		want, args = code, args[2:]
	}
	path := "/"
	if len(args) > 1 {
		path = args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	code, body, err := serverOf(ts).get(ctx, args[0], path)
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), body)
	if (code == want) == neg {
		ts.Fatalf("GET %s of %s: status %d\n%s", path, args[0], code, body)
	}
}

func cmdFails(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", serverOf(ts).http, args[1]), http.NoBody)
	ts.Check(err)
	req.Host = args[0]
	for _, header := range args[2:] {
		name, value, _ := strings.Cut(header, "=")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Fprintf(ts.Stdout(), "%s\n%s", res.Status, body)
	if err == nil && res.StatusCode < 500 {
		ts.Fatalf("POST %s of %s: %s\n%s", args[1], args[0], res.Status, body)
	}
}

func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := ts.Exec(args[0], args[1:]...)
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v", strings.Join(args, " "), err)
		}
		time.Sleep(50 * time.Millisecond) // between two polls
	}
}

func cmdPIDs(ts *testscript.TestScript, neg bool, args []string) {
	var lines []string
	instances := withFile("environ", "HOP3_INSTANCE=")
	for _, pid := range serverOf(ts).processes() {
		if !slices.Contains(instances, pid) {
			continue // a git that tidies up after a push
		}
		lines = append(lines, strconv.Itoa(pid))
	}
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
}
