package sshd

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/gliderlabs/ssh"
	"go.uber.org/zap"
	gossh "golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/git"
)

// maxRequests is how many requests a client may make before its exec.
const maxRequests = 64

// session is one exec of a client.
type session struct {
	server *Server
	gossh.Channel
	conn     *gossh.ServerConn
	user     hop3.User
	protocol string         // GIT_PROTOCOL, as the client sent it
	line     string         // the exec line; "" when a shell was asked for
	terminal *hop3.Terminal // nil when none was asked for
	sizes    chan hop3.WindowSize
}

// serveSession serves a channel of type "session". It is used instead of
// gliderlabs' own handler, which keeps any number of variables, blocks on
// signals that nobody reads, grants agents, and does not notice when a client
// closes one session of a connection it keeps.
func (s *Server) serveSession(_ *ssh.Server, sshConn *gossh.ServerConn, offer gossh.NewChannel, connCtx ssh.Context) {
	c, ok := connCtx.Value(connKey{}).(*conn)
	if !ok || !s.conns.begin(c) {
		_ = offer.Reject(gossh.ResourceShortage, "too many sessions")
		return
	}
	ctx, cancel := context.WithCancel(connCtx)
	defer s.conns.end(c)
	defer cancel()
	defer s.recovered("serving an SSH session")
	channel, requests, err := offer.Accept()
	if err != nil {
		s.conns.forget(c)
		return
	}
	defer channel.Close()
	sess := &session{server: s, Channel: channel, conn: sshConn, sizes: make(chan hop3.WindowSize, 1)}
	asked := sess.awaitExec(requests)
	go func() {
		defer s.conns.forget(c)
		defer cancel() // the client closed the session
		defer s.recovered("reading the requests of an SSH session")
		sess.obey(requests, cancel)
	}()
	if asked {
		sess.exit(sess.run(ctx))
	}
}

// awaitExec reads requests until the one that starts the session; it reports
// whether that came.
func (s *session) awaitExec(requests <-chan *gossh.Request) bool {
	for range maxRequests {
		req, ok := <-requests
		if !ok {
			return false
		}
		var payload struct{ Value string }
		switch req.Type {
		case "exec":
			if gossh.Unmarshal(req.Payload, &payload) != nil {
				_ = req.Reply(false, nil)
				return false
			}
			s.line = payload.Value
			fallthrough
		case "shell":
			_ = req.Reply(true, nil)
			return true
		case "env":
			_ = req.Reply(s.setenv(req.Payload), nil)
		case "pty-req":
			_ = req.Reply(s.openTerminal(req.Payload), nil)
		case "window-change":
			s.resize(req.Payload)
			_ = req.Reply(true, nil)
		default: // subsystem, agent, x11, signals
			_ = req.Reply(false, nil)
		}
	}
	return false
}

// setenv takes the one variable that git needs.
func (s *session) setenv(payload []byte) bool {
	var kv struct{ Key, Value string }
	if gossh.Unmarshal(payload, &kv) != nil || kv.Key != "GIT_PROTOCOL" || len(kv.Value) > 32 {
		return false
	}
	s.protocol = kv.Value
	return true
}

// run does what the exec line asks and returns the exit code.
func (s *session) run(ctx context.Context) (code int) {
	defer func() {
		if p := recover(); p != nil {
			s.server.panicked("running an SSH command", p)
			code = 1
		}
	}()
	user, err := s.server.identity(ctx)
	if err != nil {
		return s.fail(hop3.Errorf(hop3.CodeUnauthorized, "this key is not known any more"))
	}
	s.user = user
	ctx, leave, err := s.server.Users.Present(ctx, user)
	if err != nil {
		return s.fail(err)
	}
	defer leave()
	if s.line == "" {
		s.greet()
		return 0
	}
	cmd, err := parseLine(s.server.Home, s.line)
	switch {
	case err != nil:
		return s.fail(err)
	case cmd.verb == receivePack:
		return s.push(ctx, cmd.app)
	case cmd.verb == uploadPack:
		return s.fetch(ctx, cmd.app)
	case s.server.Commands != nil:
		return s.command(ctx)
	default:
		return s.fail(hop3.Errorf(hop3.CodeInvalid, "this server runs git commands only, not %q", shorten(s.line)))
	}
}

func (s *session) streams() git.Streams {
	return git.Streams{Stdin: s.Channel, Stdout: s.Channel, Stderr: s.Channel.Stderr(), Protocol: s.protocol}
}

// fetch serves a clone or a fetch.
func (s *session) fetch(ctx context.Context, app string) int {
	err := s.server.Fetches.MayFetch(ctx, s.user.Username, s.user.Admin, app)
	if err != nil && hop3.CodeOf(err) != hop3.CodeNotFound {
		return s.outcome("fetch", app, err)
	}
	if err != nil || !s.server.Repos.Exists(app) {
		return s.fail(hop3.Errorf(hop3.CodeNotFound, "there is no app %q", app).WithHint("The first push creates an app."))
	}
	return s.outcome("fetch", app, s.server.Repos.Upload(ctx, app, s.streams()))
}

// outcome logs how a git command ended, tells the client what git has not told
// itself, and returns the exit code.
func (s *session) outcome(what, app string, err error) int {
	log := s.server.Logger.With(zap.String("app", app), zap.String("user", s.user.Username))
	if err == nil {
		log.Info(what)
		return 0
	}
	log.Info(what+" failed", zap.Error(err))
	if code := hop3.CodeOf(err); code != hop3.CodeInternal {
		return s.fail(err)
	}
	return 1
}

// fail tells the client why nothing was done.
func (s *session) fail(err error) int {
	for line := range strings.SplitSeq(hop3.MessageOf(err), "\n") {
		fmt.Fprintf(s.Stderr(), "hop3: %s%s", git.Printable(line), s.lineEnd())
	}
	return 1
}

// greet answers somebody who only tried whether their key works, or wants a
// shell on the server.
func (s *session) greet() {
	port, host := "", "<host>"
	if addr, ok := s.conn.LocalAddr().(*net.TCPAddr); ok {
		port, host = fmt.Sprintf("-p %d ", addr.Port), fmt.Sprintf("<host>:%d", addr.Port)
	}
	text := fmt.Sprintf("Hi %s! Your key works. Hop3 has no shell of its own: push a repository to deploy it.\n"+
		"\n  git remote add hop3 ssh://%s/<app>\n  git push hop3 main\n", s.user.Username, host)
	if s.server.Commands != nil {
		text += fmt.Sprintf("\nCommands run here too:\n"+
			"\n  ssh %[1]s<host> help\n  ssh %[1]s<host> logs -f --app <app>\n  ssh -t %[1]s<host> shell --app <app>\n", port)
	}
	_, _ = io.WriteString(s.Channel, strings.ReplaceAll(text, "\n", s.lineEnd())) // who has left needs no greeting
}

// lineEnd ends a line of ours: at a terminal the client takes it as it is.
func (s *session) lineEnd() string {
	if s.terminal != nil {
		return "\r\n"
	}
	return "\n"
}

func (s *session) exit(code int) {
	status := struct{ Status uint32 }{uint32(code)}
	_, _ = s.SendRequest("exit-status", false, gossh.Marshal(&status))
}
