package hop3test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable tells the test binary to be one of the programs below instead.
const roleVariable = "HOP3TEST_ROLE"

// RuntimeMain is the TestMain of a package that calls Runtime: the apps of the
// suite are the test binary itself.
func RuntimeMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// program returns the command line that makes the test binary play a role.
func program(role string, args ...string) string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	line := roleVariable + "=" + role + " exec " + quote(exe)
	for _, a := range args {
		line += " " + quote(a)
	}
	return line
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func play(role string) error {
	// A test that is killed itself leaves nothing running for long.
	time.AfterFunc(2*time.Minute, func() { os.Exit(9) })
	switch role {
	case "server": // serves, and ends when asked to
		return serve(true)
	case "stubborn": // serves, and does not end when asked to
		return serve(false)
	case "parent", "stubborn-parent": // leaves a child outside of its session, then serves
		if err := daemonize(os.Args[1], os.Environ()); err != nil {
			return err
		}
		return serve(role == "parent")
	case "hide", "hider": // leaves one that has nothing of the instance's, and ends or serves
		if err := daemonize(os.Args[1], nil); err != nil || role == "hide" {
			return err
		}
		return serve(true)
	case "hog": // uses memory until it is killed
		return fill()
	case "careless": // has a child that uses memory until it is killed, and serves
		_ = exec.Command("/bin/sh", "-c", program("hog")).Run()
		return serve(true)
	case "daemon": // ignores SIGTERM and writes down who it is
		signal.Ignore(syscall.SIGTERM)
		if err := os.WriteFile(os.Args[1], []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			return err
		}
		select {}
	case "worker": // does nothing for ever
		fmt.Println("working")
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
		return nil
	}
	return fmt.Errorf("no role %q", role)
}

// serve answers /env with the environment, /pid, /uid and /dir with its pid,
// user and working directory, /exit?3 by ending with status 3, and /read?file
// and /write?file with "ok" when it may.
func serve(graceful bool) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	mux := http.NewServeMux()
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(os.Environ())
	})
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("/dir", func(w http.ResponseWriter, _ *http.Request) {
		dir, _ := os.Readlink("/proc/self/cwd")
		fmt.Fprint(w, dir)
	})
	mux.HandleFunc("/uid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getuid()) })
	tries := func(try func(file string) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := try(r.URL.RawQuery); err != nil {
				fmt.Fprint(w, err)
				return
			}
			fmt.Fprint(w, "ok")
		}
	}
	mux.HandleFunc("/read", tries(func(file string) error {
		_, err := os.ReadFile(file)
		return err
	}))
	mux.HandleFunc("/write", tries(func(file string) error { return os.WriteFile(file, []byte("text"), 0o600) }))
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.RawQuery)
		os.Exit(status)
	})
	l, err := listen()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- http.Serve(l, mux) }()
	fmt.Println("listening on", l.Addr())
	for {
		select {
		case err := <-failed:
			if !errors.Is(err, http.ErrServerClosed) {
				return err
			}
		case <-ended:
			fmt.Println("asked to end")
			if graceful {
				return nil
			}
		}
	}
}

// listen listens on $PORT, or on the path in $SOCKET where a runtime sets that.
func listen() (net.Listener, error) {
	socket := os.Getenv("SOCKET")
	if socket == "" {
		return net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", socket)
}

// fill writes to ever more memory.
func fill() error {
	var all [][]byte
	for range 1 << 10 {
		chunk := make([]byte, 1<<20)
		for n := 0; n < len(chunk); n += 4096 {
			chunk[n] = 1
		}
		all = append(all, chunk)
	}
	return fmt.Errorf("%d MiB are there", len(all))
}

// daemonize starts a process in a session of its own by way of another that
// ends, so that it is no descendant either. It returns when the process runs.
func daemonize(pidFile string, env []string) error {
	cmd := exec.Command("/bin/sh", "-c", program("daemon", pidFile)+" &")
	cmd.Env = append([]string{"DAEMON=1"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("starting the daemon: %w", err)
	}
	for {
		if b, err := os.ReadFile(pidFile); err == nil && len(b) > 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}
