package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3/api"
)

// sshDial returns how a server is reached that has an address like
// ssh://root@host:22: by ssh, with the user's own key, agent and configuration,
// and from there by the port of its API on that host. It returns nil for other
// addresses.
func (p *program) sshDial(server string) (func(ctx context.Context) (net.Conn, error), error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "ssh" && u.Scheme != "ssh+http" {
		return nil, nil // what is no address is told by who needs one
	}
	user, host := firstOf(u.User.Username(), p.sshSetting("ssh_user"), "root"), u.Hostname()
	port := firstOf(u.Port(), p.sshSetting("ssh_port"), "22")
	if host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(user, "-") {
		return nil, exitf(api.ExitUsage, "%q is not the address of a server", server)
	}
	args := []string{
		"-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3", "-o", "StrictHostKeyChecking=accept-new",
		"-W", net.JoinHostPort("127.0.0.1", firstOf(p.sshSetting("server_port"), "8000")), "-p", port, "-l", user,
	}
	if key := p.sshSetting("ssh_key"); key != "" {
		args = append(args, "-i", key)
	}
	args = append(args, "--", host)
	return func(context.Context) (net.Conn, error) { return dialProgram(p.Err, "ssh", args...) }, nil
}

// sshSetting is one of Hop3 (Python)'s settings, of the environment or of
// config.toml.
func (p *program) sshSetting(key string) string {
	return firstOf(p.getenv("HOP3_"+strings.ToUpper(key)), get(p.settings.config, key))
}

// programConn is the input and output of a program as a connection.
type programConn struct {
	io.Reader
	in  io.WriteCloser
	cmd *exec.Cmd
}

// dialProgram starts a program that passes on what it reads and writes. It ends
// when the connection is closed, not with what dialed it.
func dialProgram(errs io.Writer, name string, args ...string) (net.Conn, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = errs // ssh says why it cannot connect
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return &programConn{Reader: out, in: in, cmd: cmd}, nil
}

// Write writes to the program.
func (c *programConn) Write(b []byte) (int, error) { return c.in.Write(b) }

// Close ends the program.
func (c *programConn) Close() error {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill() // it may have ended
	_ = c.cmd.Wait()
	return nil
}

// LocalAddr names the program.
func (c *programConn) LocalAddr() net.Addr { return programAddr(c.cmd.Path) }

// RemoteAddr names the program.
func (c *programConn) RemoteAddr() net.Addr { return programAddr(c.cmd.Path) }

// SetDeadline says that a pipe has none: the requests have.
func (c *programConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline is as SetDeadline.
func (c *programConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline is as SetDeadline.
func (c *programConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

type programAddr string

// Network is "pipe".
func (programAddr) Network() string { return "pipe" }

// String is the program's path.
func (a programAddr) String() string { return string(a) }
