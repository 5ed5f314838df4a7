package services_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/sandbox"
	"github.com/abilian/hop3/hop3/services"
	"github.com/abilian/hop3/hop3/services/servicestest"
)

func TestMain(m *testing.M) {
	if home := os.Getenv("SERVICES_SERVER"); home != "" {
		serve(home)
	}
	os.Exit(m.Run())
}

// hostileArgs are arguments that a shell would do something with.
var hostileArgs = []string{"a'b", `"`, "$(id)", "`id`", "new\nline", "", `\`, "*", "; exit 1 #", "-c"}

// recorder writes its arguments, each between brackets, and its number to
// files, and runs.
func recorder(name string) hop3.Service {
	return hop3.Service{
		Name: name, Env: hop3.Env{"GREETING": "it's me"},
		Args: append([]string{"/bin/sh", "-c", `printf '[%s]' "$GREETING" "$@" >args; id -u >uid; echo $$ >pid.new; mv pid.new pid; exec sleep 600`, "recorder"}, hostileArgs...),
	}
}

// serve is a server that starts a service, until it is killed.
func serve(home string) {
	time.AfterFunc(time.Minute, func() { os.Exit(9) })
	box, err := sandbox.Open(sandbox.Options{Home: home})
	if err != nil {
		panic(err)
	}
	s, err := services.Open(services.Options{Dir: filepath.Join(home, "services"), RunDir: filepath.Join(home, "run", "services"), Sandbox: box})
	if err == nil {
		err = s.Start(context.Background(), recorder("recorder"))
	}
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	select {}
}

// pid waits until the service has written another number than before.
func pid(t *testing.T, dir hop3.ServiceDir, before int) int {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(dir.Data, "pid"))
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n != before {
			return n
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(dir.Log)
			t.Fatalf("the service does not start; its log:\n%s", log)
		}
	}
}

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

func read(t *testing.T, dir hop3.ServiceDir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir.Data, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func prepare(t *testing.T, s *services.Services, name string) hop3.ServiceDir {
	t.Helper()
	dir, err := s.Prepare(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, s *services.Services, service hop3.Service) {
	t.Helper()
	if err := s.Start(t.Context(), service); err != nil {
		t.Fatal(err)
	}
}

func TestServiceIsKeptRunning(t *testing.T) {
	s := servicestest.Server(t, nil).Runs.(*services.Services)
	dir := prepare(t, s, "recorder")
	if info, err := os.Stat(dir.Data); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("the data: %v, %v", info.Mode(), err)
	}
	start(t, s, recorder("recorder"))
	first := pid(t, dir, 0)
	want := "[it's me]"
	for _, arg := range hostileArgs {
		want += "[" + arg + "]"
	}
	if got := read(t, dir, "args"); got != want {
		t.Errorf("it got %q, want %q", got, want)
	}
	if dir.User != "" && (read(t, dir, "uid") != dir.User || dir.User == "0") {
		t.Errorf("it runs as %s, want %s", read(t, dir, "uid"), dir.User)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := pid(t, dir, first)
	start(t, s, recorder("recorder"))
	if got := pid(t, dir, 0); got != second || !runs(second) {
		t.Errorf("Start of what runs started %d beside %d", got, second)
	}
	other := recorder("recorder")
	other.Args = append(other.Args, "more")
	start(t, s, other)
	if third := pid(t, dir, second); runs(second) || !strings.HasSuffix(read(t, dir, "args"), "[more]") {
		t.Errorf("with other arguments %d runs, %d too: %v", third, second, runs(second))
	}
}

func TestServiceEnds(t *testing.T) {
	home := servicestest.Home(t)
	box := servicestest.Sandbox(t, home)
	s := servicestest.Open(t, home, box)
	dir := prepare(t, s, "recorder")
	start(t, s, recorder("recorder"))
	first := pid(t, dir, 0)
	for range 2 {
		if err := s.Stop(t.Context(), "recorder"); err != nil || runs(first) {
			t.Fatalf("Stop: %v; it runs: %v", err, runs(first))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = servicestest.Open(t, home, box)
	defer func() { servicestest.End(t, home, s) }()
	if got := read(t, dir, "pid"); got != strconv.Itoa(first) {
		t.Errorf("what was stopped runs again, as %s", got)
	}
	start(t, s, recorder("recorder"))
	second := pid(t, dir, first)
	for range 2 {
		if err := s.Remove(t.Context(), "recorder"); err != nil || runs(second) {
			t.Fatalf("Remove: %v; it runs: %v", err, runs(second))
		}
	}
	if _, err := os.Stat(filepath.Dir(dir.Data)); !os.IsNotExist(err) {
		t.Errorf("what is removed is still there: %v", err)
	}
}

// TestServerKilled adopts what a server left that was killed, and starts what
// ended meanwhile.
func TestServerKilled(t *testing.T) {
	home := servicestest.Home(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(exe)
	server.Env = append(os.Environ(), "SERVICES_SERVER="+home)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = server.Process.Kill()
	_ = server.Wait()
	if line != "ready\n" {
		t.Fatalf("the server said %q", line)
	}

	box := servicestest.Sandbox(t, home)
	dir := hop3.ServiceDir{Data: filepath.Join(home, "services", "recorder", "data")}
	first := pid(t, dir, 0)
	s := servicestest.Open(t, home, box)
	start(t, s, recorder("recorder"))
	if got := pid(t, dir, 0); got != first || !runs(first) {
		t.Errorf("%d was not adopted, %d runs", first, got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s = servicestest.Open(t, home, box)
	defer func() { servicestest.End(t, home, s) }()
	second := pid(t, dir, first)
	if !runs(second) {
		t.Error("what ended while no server ran is not started again")
	}
}

func TestRun(t *testing.T) {
	s := servicestest.Server(t, nil).Runs.(*services.Services)
	dir := prepare(t, s, "recorder")
	if err := s.Run(t.Context(), "recorder", hop3.Env{"X": "y"}, "sh", "-c", `printf "%s in %s" "$X" "$(pwd)" >ran; id -u >uid`); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "ran"); got != "y in "+dir.Data {
		t.Errorf("it ran with %q", got)
	}
	if dir.User != "" && read(t, dir, "uid") != dir.User {
		t.Errorf("it ran as %s, want %s", read(t, dir, "uid"), dir.User)
	}
	err := s.Run(t.Context(), "recorder", nil, "sh", "-c", "echo what is wrong >&2; exit 3")
	if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.HasSuffix(hop3.MessageOf(err), "failed with status 3: what is wrong") {
		t.Errorf("a program that fails: %v", err)
	}
	if err := s.Run(t.Context(), "recorder", nil, "no-such-program"); err == nil {
		t.Error("a program that is not there is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx, "recorder", nil, "true"); err == nil {
		t.Error("a run without time is no error")
	}
}

// TestUsers are those of two services and of an app whose name one of them
// has.
func TestUsers(t *testing.T) {
	home := servicestest.Home(t)
	box := servicestest.Sandbox(t, home)
	if err := box.Isolation(); err != nil {
		t.Skipf("this needs isolation: %v", err)
	}
	s := servicestest.Open(t, home, box)
	defer func() { servicestest.End(t, home, s) }()
	plan, err := box.Prepare(sandbox.Spec{App: "postgres", AppDir: filepath.Join(home, "apps", "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	users := []string{strconv.Itoa(plan.UID), prepare(t, s, "postgres").User, prepare(t, s, "other").User}
	// Another server begins to look at the same user as this one did.
	again := servicestest.Sandbox(t, home)
	plan, err = again.Prepare(sandbox.Spec{App: "late", AppDir: filepath.Join(home, "apps", "late")})
	if err != nil {
		t.Fatal(err)
	}
	users = append(users, strconv.Itoa(plan.UID))
	slices.Sort(users)
	if len(slices.Compact(users)) != 4 {
		t.Errorf("users are shared: %q", users)
	}
	for _, app := range []string{"postgres", "late"} {
		if err := box.Forget(app); err != nil {
			t.Error(err)
		}
	}
}

func TestNames(t *testing.T) {
	s := servicestest.Server(t, nil).Runs.(*services.Services)
	for _, name := range []string{"", "..", "a/b", "../../x", "Upper", "a", "-ab", "a b", "a\nb", strings.Repeat("a", 64)} {
		_, err := s.Prepare(t.Context(), name)
		for _, err := range []error{err, s.Run(t.Context(), name, nil, "true"), s.Start(t.Context(), hop3.Service{Name: name, Args: []string{"true"}}), s.Stop(t.Context(), name), s.Remove(t.Context(), name)} {
			if hop3.CodeOf(err) != hop3.CodeInvalid {
				t.Errorf("the name %q: %v", name, err)
			}
		}
	}
	if err := s.Start(t.Context(), hop3.Service{Name: "nothing"}); hop3.CodeOf(err) != hop3.CodeInvalid {
		t.Errorf("a service without a program: %v", err)
	}
}

func TestFreePort(t *testing.T) {
	s := servicestest.Server(t, nil).Runs
	seen := map[int]bool{}
	for range 50 {
		port, err := s.FreePort()
		if err != nil || seen[port] || port < 1024 || port > 65535 {
			t.Fatalf("FreePort = %d, %v", port, err)
		}
		seen[port] = true
	}
}

// The port of a service is its own also while it is stopped, and after a
// restart; whoever listens there in its place is found out.
func TestServicePortsAreTheirs(t *testing.T) {
	home := servicestest.Home(t)
	box := servicestest.Sandbox(t, home)
	s := servicestest.Open(t, home, box)
	port, err := s.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	service := hop3.Service{Name: "sleeper", Args: []string{"/bin/sleep", "600"}, Port: port}
	start(t, s, service)
	if err := s.Listens(t.Context(), "sleeper", port); hop3.CodeOf(err) != hop3.CodeUnavailable {
		t.Errorf("nothing listens: %v", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listens(t.Context(), "sleeper", port); hop3.CodeOf(err) != hop3.CodeConflict || !strings.Contains(err.Error(), "services.test") {
		t.Errorf("we listen: %v", err)
	}
	if err := errors.Join(l.Close(), s.Stop(t.Context(), "sleeper"), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = servicestest.Open(t, home, box)
	defer servicestest.End(t, home, s)
	if owners := s.Ports(); owners[port] != "sleeper" || len(owners) != 1 {
		t.Errorf("the ports are %v", owners)
	}
	for range 3001 { // more than there are
		if other, err := s.FreePort(); err == nil && other == port {
			t.Fatal("the port of a service that is stopped is given away")
		}
	}
	if err := s.Remove(t.Context(), "sleeper"); err != nil || len(s.Ports()) != 0 {
		t.Errorf("after its removal: %v, %v", err, s.Ports())
	}
}

// TestServicesHalt ends all services, and the next server starts those again
// that were meant to run.
func TestServicesHalt(t *testing.T) {
	home := servicestest.Home(t)
	box := servicestest.Sandbox(t, home)
	s := servicestest.Open(t, home, box)
	dir, stopped := prepare(t, s, "recorder"), prepare(t, s, "stopped")
	start(t, s, recorder("recorder"))
	start(t, s, recorder("stopped"))
	first, last := pid(t, dir, 0), pid(t, stopped, 0)
	if err := s.Stop(t.Context(), "stopped"); err != nil {
		t.Fatal(err)
	}
	if err := s.Halt(t.Context()); err != nil || runs(first) || runs(last) {
		t.Fatalf("Halt: %v; they run: %v, %v", err, runs(first), runs(last))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = servicestest.Open(t, home, box)
	defer func() { servicestest.End(t, home, s) }()
	if second := pid(t, dir, first); !runs(second) {
		t.Error("the next server does not start it")
	}
	if got := read(t, stopped, "pid"); got != strconv.Itoa(last) {
		t.Errorf("what was stopped before runs again, as %s", got)
	}
}
