package machine

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// push makes a repository of the app's program and the files, and pushes it
// with git.
func (m *machine) push(t *testing.T, app, program string, files map[string]string) {
	t.Helper()
	dir := filepath.Join(m.dir, "src-"+app)
	for name, text := range files {
		if err := writeFile(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(program, filepath.Join(dir, "app")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "one"},
		{"push", fmt.Sprintf("ssh://hop3@127.0.0.1:%d/%s", m.ports.ssh, app), "main"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(),
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=Me", "GIT_AUTHOR_EMAIL=me@example.com", "GIT_COMMITTER_NAME=Me", "GIT_COMMITTER_EMAIL=me@example.com",
			"GIT_SSH_COMMAND=ssh -F /dev/null -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i "+m.key)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: git %s: %v\n%s", app, args[0], err, out)
		}
	}
}

// client asks the machine, whatever the host of a URL is. Each request has a
// connection of its own, and one attempt.
func (m *machine) client() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			port := m.ports.http
			if strings.HasSuffix(address, ":443") {
				port = m.ports.https
			}
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		},
	}
}

// ask makes one request to the machine, by any client. An answer that is not
// 200 is an error.
func ask(client http.RoundTripper, method, url string) (body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(text))
	}
	return string(text), err
}

// answers waits until an app answers, as itself, to HTTP, HTTPS and HTTP/3.
func (m *machine) answers(t *testing.T, app string) {
	t.Helper()
	tcp, udp := m.client(), m.http3Client()
	defer udp.Close()
	for _, c := range []struct {
		what, url string
		client    http.RoundTripper
	}{{"HTTP", "http://", tcp}, {"HTTPS", "https://", tcp}, {"HTTP/3", "https://", udp}} {
		m.eventually(t, app+" answers to "+c.what, func() error {
			body, err := ask(c.client, http.MethodGet, c.url+app+".localhost/")
			if err == nil && body != app {
				err = fmt.Errorf("it answers %q", body)
			}
			return err
		})
	}
}

// http3Client is client by HTTP/3.
func (m *machine) http3Client() *http3.Transport {
	return &http3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Dial: func(ctx context.Context, _ string, settings *tls.Config, config *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, fmt.Sprintf("127.0.0.1:%d", m.ports.http3), settings, config)
		},
	}
}

// inGroup is a process as `grep -r` tells of it: the file of its group, and its
// number.
var inGroup = regexp.MustCompile(`(?m)^/sys/fs/cgroup/.*/hop3-[0-9a-f]+/apps/([a-z]+)/[0-9]+/([a-z]+\.[0-9]+)/cgroup\.procs:([0-9]+)$`)

// processes returns the apps' processes by their instances: "blog web.1" is
// "412", or "412 413". Those that are not in their instance's group are not
// there.
func (m *machine) processes(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range inGroup.FindAllStringSubmatch(m.run(t, "grep", "-r", "--include=cgroup.procs", ".", "/sys/fs/cgroup"), -1) {
		instance := p[1] + " " + p[2]
		all[instance] = strings.TrimSpace(all[instance] + " " + p[3])
	}
	return all
}

// runs waits until exactly these instances have a process, and returns them.
func (m *machine) runs(t *testing.T, instances ...string) (processes map[string]string) {
	t.Helper()
	m.eventually(t, fmt.Sprintf("what runs is %q", instances), func() error {
		processes = m.processes(t)
		for _, i := range instances {
			if processes[i] == "" {
				return fmt.Errorf("there are %q", processes)
			}
		}
		if len(processes) > len(instances) {
			return fmt.Errorf("there are %q", processes)
		}
		return nil
	})
	return processes
}

// says waits until a command's output has some text.
func (m *machine) says(t *testing.T, text string, args ...string) {
	t.Helper()
	m.eventually(t, fmt.Sprintf("%s says %q", strings.Join(args, " "), text), func() error {
		if out := m.run(t, args...); !strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// server returns the number of the server's process, "0" for none, and what
// systemd says of it: active, inactive, reloading, …
func (m *machine) server(t *testing.T) (pid, state string) {
	t.Helper()
	for line := range strings.Lines(m.run(t, "systemctl", "show", "--property=MainPID,ActiveState", "hop3.service")) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "MainPID":
			pid = value
		case "ActiveState":
			state = value
		}
	}
	return pid, state
}
