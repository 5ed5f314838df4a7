package hop3test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/abilian/hop3/hop3"
)

func servesOnItsUpstream(t *runtimeTest) {
	started := t.start(t.launch(1, web(program("server"))))
	i := started[0]
	if i.App != "shop" || i.Release != 1 || i.Type != "web" || i.Ordinal != 1 || i.State != hop3.InstanceRunning || i.StartedAt.IsZero() {
		t.Errorf("Start returned %+v", i)
	}
	if pid := t.get(i, "/pid"); pid != strconv.Itoa(i.PID) {
		t.Errorf("%s is answered by process %s, want %d", i.Upstream, pid, i.PID)
	}
	if got := t.releases(); !slices.Equal(got, []hop3.ReleaseID{i1}) {
		t.Errorf("Releases = %v, want %v", got, i1)
	}
}

func runsSeveralInstances(t *runtimeTest) {
	proc := web(program("server"))
	proc.Count = 3
	started := t.start(t.launch(1, proc))
	if len(started) != 3 {
		t.Fatalf("%d instances, want 3", len(started))
	}
	for n, i := range started {
		if i.Ordinal != n+1 {
			t.Errorf("instance %d has ordinal %d", n, i.Ordinal)
		}
		if pid := t.get(i, "/pid"); pid != strconv.Itoa(i.PID) {
			t.Errorf("%s is answered by process %s, want %d", i.Upstream, pid, i.PID)
		}
	}
}

// passesTheEnvironment starts releases with all kinds of values: no character
// is lost or means anything on the way to the process.
func passesTheEnvironment(t *runtimeTest) {
	value := rapid.OneOf(
		rapid.StringOf(rapid.RuneFrom([]rune("%$(){}'\"`\\\n\t =;|&#ü€\U0001F600\x01"))),
		rapid.String().Filter(func(s string) bool { return !strings.ContainsRune(s, 0) }),
		rapid.SampledFrom([]string{"", " ", "%(x)s", "$(id)", "${HOME}", "@(/etc/passwd)", "a\nb=c", "\r\n", "[uwsgi]", strings.Repeat("x", 100<<10)}),
	)
	env := hop3.Env{}
	for n := range 60 {
		env[fmt.Sprintf("VALUE_%d", n)] = value.Example(n)
	}
	l := t.launch(1, web(program("server")))
	l.Env = l.Env.Merge(env)
	i := t.start(l)[0]
	got := t.env(i)
	for k, want := range env {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	if _, port, _ := strings.Cut(i.Upstream, ":"); strings.HasPrefix(i.Upstream, "127.0.0.1:") && got["PORT"] != port {
		t.Errorf("PORT is %q, want that of %s", got["PORT"], i.Upstream)
	}
	if want := "/opt/first:/opt/second:"; !strings.HasPrefix(got["PATH"], want) {
		t.Errorf("PATH is %q, want it to begin with %s", got["PATH"], want)
	}
	if dir := t.get(i, "/dir"); dir != l.Dir {
		t.Errorf("the working directory is %q, want %q", dir, l.Dir)
	}
}

func runsBackgroundProcesses(t *runtimeTest) {
	i := t.start(t.launch(1, hop3.Process{Type: "worker", Command: program("worker"), Count: 1}, hop3.Process{Type: "none", Command: "false"}))
	if len(i) != 1 || i[0].Upstream != "" || i[0].Type != "worker" {
		t.Errorf("the instances are %+v, want one worker without an upstream", i)
	}
	t.eventually("the worker writes to its log", func() bool { return strings.Contains(t.log(i[0]), "working") })
}

func runsShellCommands(t *runtimeTest) {
	l := t.launch(1, hop3.Process{Type: "worker", Command: `cd / && echo "in $(pwd)" | tr a-z A-Z; ` + program("worker"), Count: 1})
	i := t.start(l)[0]
	t.eventually("all of the command line runs", func() bool {
		return strings.Contains(t.log(i), "IN /\n") && strings.Contains(t.log(i), "working")
	})
}

func writesLogs(t *runtimeTest) {
	l := t.launch(1, hop3.Process{Type: "worker", Command: "echo to stdout; echo to stderr >&2; " + program("worker"), Count: 2})
	for _, i := range t.start(l) {
		want := filepath.Join(l.LogDir, fmt.Sprintf("worker.%d.log", i.Ordinal))
		if i.LogFile != want {
			t.Errorf("LogFile = %q, want %q", i.LogFile, want)
		}
		t.eventually("both outputs are in the log", func() bool {
			return strings.Contains(t.log(i), "to stdout\n") && strings.Contains(t.log(i), "to stderr\n")
		})
	}
}

func runsOneOffs(t *runtimeTest) {
	l := t.launch(1)
	l.Env["GREETING"] = "hello"
	for _, c := range []struct {
		cmd  hop3.OneOff
		exit int
		out  string
	}{
		{hop3.OneOff{Args: []string{"sh", "-c", `echo "$GREETING $1"; exit 4`, "sh", "$(world)"}}, 4, "hello $(world)\n"},
		{hop3.OneOff{Shell: "pwd | tr -d '\\n'; cat"}, 0, l.Dir},
		{hop3.OneOff{Args: []string{"cat"}, Stdin: strings.NewReader("from stdin")}, 0, "from stdin"},
		{hop3.OneOff{Shell: "kill -TERM $$"}, 128 + 15, ""},
		{hop3.OneOff{Shell: "echo $HOP3_PROCESS; ulimit -c"}, 0, "run\n0\n"},
		{hop3.OneOff{Shell: "echo $HOP3_PROCESS", Name: "cron.backup"}, 0, "cron.backup\n"},
		{hop3.OneOff{Shell: "sleep 600 & echo started"}, 0, "started\n"},
	} {
		var out bytes.Buffer
		c.cmd.Stdout = &out
		exit, err := t.Runtime.Run(t.Context(), l, c.cmd)
		if err != nil || exit != c.exit || out.String() != c.out {
			t.Errorf("%q%q = %d, %v, %q; want %d, %q", c.cmd.Args, c.cmd.Shell, exit, err, out.String(), c.exit, c.out)
		}
	}
	if _, err := t.Runtime.Run(t.Context(), l, hop3.OneOff{Args: []string{"no-such-program"}}); hop3.CodeOf(err) != hop3.CodeNotFound {
		t.Errorf("an unknown program: %v, want a not-found error", err)
	}
}

func endsOneOffsWithTheirCaller(t *runtimeTest) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	defer out.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := t.Runtime.Run(ctx, t.launch(1), hop3.OneOff{Shell: "echo $$; " + program("worker"), Stdout: in})
		ended <- err
	}()
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, out)
	cancel()
	if err := <-ended; err == nil {
		t.Errorf("Run returned no error")
	}
	if runs(pid) {
		t.Errorf("the command %d still runs", pid)
	}
}
