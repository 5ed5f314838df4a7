package front

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// Choices returns the names of the proxies there are.
func (p *Proxy) Choices() []string {
	names := []string{Own}
	for _, program := range p.o.Programs {
		names = append(names, program.Name())
	}
	slices.Sort(names)
	return names
}

// Open brings the configured proxy in front and begins to look after it. A
// program that cannot run is logged, and tried again; our Caddy serves
// meanwhile.
func (p *Proxy) Open(ctx context.Context, name string) error {
	program, err := p.find(name)
	if err != nil {
		return err
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	p.wanted = name
	p.listen()
	if found := left(p.o.Home); found != nil && found.Program != name {
		found.end(programNamed(p.o.Programs, found.Program)) // the choice was changed while no server ran
	}
	if program != nil {
		p.bringUp(ctx, program)
	}
	background, cancel := context.WithCancel(context.Background())
	p.cancel, p.ended = cancel, make(chan struct{})
	go p.tend(background)
	p.Look()
	return nil
}

// Leave stops looking after the program, which goes on serving: the next image
// of this process takes it over.
func (p *Proxy) Leave() {
	p.changing.Lock()
	cancel, ended := p.cancel, p.ended
	p.cancel = nil
	p.changing.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// End has the program in front finish its requests and end, for at most
// patience. Our Caddy must still serve.
func (p *Proxy) End(patience time.Duration) {
	p.Leave()
	p.changing.Lock()
	defer p.changing.Unlock()
	f := p.front
	if f == nil {
		return
	}
	p.front = nil
	f.process.signal(f.program.Quit())
	if !f.process.wait(patience) {
		f.process.kill()
	}
	_ = os.Remove(stateFile(p.o.Home)) // says nothing any more
}

// Switch makes another proxy the one that serves, while all apps stay
// reachable: the new one serves beside the one of before, and that ends once
// its requests are done. When the new one cannot serve, or refuses something
// that an app asks for, nothing changes.
func (p *Proxy) Switch(ctx context.Context, name string) error {
	program, err := p.find(name)
	if err != nil {
		return err
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	if p.wanted == name && (program == nil || p.front != nil) {
		return hop3.Errorf(hop3.CodeConflict, "%s is the proxy already.", name)
	}
	if program != nil {
		if err := p.refused(program); err != nil {
			return err
		}
	}
	ctx = context.WithoutCancel(ctx) // a client that leaves does not leave it half done
	old := p.front
	next, err := p.replace(ctx, program)
	if err != nil {
		return err
	}
	if err := p.o.Save(name); err != nil {
		p.back(old, next)
		return err
	}
	p.front, p.wanted, p.trouble = next, name, nil
	if next == nil {
		_ = os.Remove(stateFile(p.o.Home)) // what ends now is not to be taken over
	}
	if old != nil {
		p.retire(old)
	}
	p.Look()
	return nil
}

// Status tells which proxy serves and how it is.
func (p *Proxy) Status() hop3.ProxyStatus {
	p.changing.Lock()
	defer p.changing.Unlock()
	s := hop3.ProxyStatus{Name: p.wanted, Running: true, Apps: len(p.routes), Choices: p.Choices()}
	if p.wanted == Own {
		return s
	}
	s.Directory = filepath.Join(p.o.Home, p.wanted)
	s.Running = p.front != nil && p.front.process.alive()
	if p.trouble != nil {
		s.Trouble = hop3.MessageOf(p.trouble)
	}
	if p.front != nil {
		s.Program, s.Version, s.PID = p.front.binary.Path, p.front.binary.Version, p.front.process.PID
	}
	s.Uncertified = p.uncertified()
	return s
}

// Check says whether a proxy could serve all apps, without changing anything:
// an error tells everything that speaks against it.
func (p *Proxy) Check(ctx context.Context, name string) error {
	program, err := p.find(name)
	if err != nil || program == nil {
		return err
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	refused := p.refused(program)
	f := &standing{program: program}
	if f.binary, err = program.Find(ctx); err != nil {
		return errors.Join(refused, err)
	}
	if refused != nil {
		return refused
	}
	f.place = p.placeOf(program)
	if p.front != nil && p.front.program.Name() == name {
		f.place = p.front.place
	}
	if err := os.MkdirAll(f.place.Work, 0o711); err != nil {
		return err
	}
	_, done, err := p.sockets(&f.place)
	if err != nil {
		return err
	}
	done()
	place, files, err := p.files(program, f.place)
	if err != nil {
		return err
	}
	return p.test(ctx, f, place, files)
}

// Private

func programNamed(programs []Program, name string) Program {
	for _, program := range programs {
		if program.Name() == name {
			return program
		}
	}
	return nil
}

// find returns the program of a name, nil for our own Caddy.
func (p *Proxy) find(name string) (Program, error) {
	if program := programNamed(p.o.Programs, name); program != nil || name == Own {
		return program, nil
	}
	return nil, hop3.Errorf(hop3.CodeInvalid, "there is no proxy %q", name).WithHint("There are: %s.", strings.Join(p.Choices(), ", "))
}

// refused names all that the apps ask for and the program cannot do.
func (p *Proxy) refused(program Program) error {
	byApp := map[string][]string{}
	for app, r := range p.routes {
		if what := program.Refuses(r); len(what) > 0 {
			byApp[app] = what
		}
	}
	if len(byApp) == 0 {
		return nil
	}
	return refusal(program, byApp)
}

// replace brings a program in front of our Caddy, nil for none, beside the one
// there may be.
func (p *Proxy) replace(ctx context.Context, program Program) (*standing, error) {
	if program == nil {
		return nil, p.o.Listeners.Resume()
	}
	next, err := p.stand(ctx, program)
	if err != nil {
		return nil, err
	}
	p.o.Listeners.Pause()
	return next, nil
}

// back undoes replace.
func (p *Proxy) back(old, next *standing) {
	switch {
	case old != nil:
		p.o.Listeners.Pause()
		if err := old.process.save(p.o.Home); err != nil {
			p.o.Logger.Error("noting what stands in front", zap.Error(err))
		}
	default:
		if err := p.o.Listeners.Resume(); err != nil {
			p.o.Logger.Error("listening again", zap.Error(err))
		}
	}
	if next != nil {
		next.process.end(next.program)
	}
}

// endPatience is how long the requests under way in a program may take that
// has been replaced. WebSockets are among them.
const endPatience = 10 * time.Minute

// end has a program end by itself once its requests are done, and sees to it
// that it does. It does not wait.
func (p *process) end(program Program) {
	quit := syscall.SIGTERM
	if program != nil {
		quit = program.Quit()
	}
	p.signal(quit)
	go func() {
		if !p.wait(endPatience) {
			p.kill()
		}
	}()
}

// bringUp has a program stand in front. Where that fails, our Caddy serves.
func (p *Proxy) bringUp(ctx context.Context, program Program) {
	if p.trouble = p.refused(program); p.trouble == nil {
		p.front, p.trouble = p.replace(ctx, program)
	}
	if p.trouble != nil {
		p.o.Logger.Error("the proxy cannot run; our own Caddy serves instead", zap.String("proxy", program.Name()), zap.Error(p.trouble))
		return
	}
	p.o.Logger.Info("in front", zap.String("proxy", program.Name()), zap.Int("pid", p.front.process.PID))
}

// Intervals at which the process is looked at, certificates, and whether a
// program that could not run now can.
const (
	tendEvery    = 250 * time.Millisecond
	renewEvery   = 10 * time.Minute
	restartAfter = 2 * time.Second
)

// tend looks after the program in front and its certificates until ctx ends.
func (p *Proxy) tend(ctx context.Context) {
	defer close(p.ended)
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	var retry time.Time
	for {
		certificates := false
		select {
		case <-tick.C:
		case <-renew.C:
			certificates = true
		case <-p.kick:
			certificates = true
		case <-ctx.Done():
			return
		}
		p.guard(func() { retry = p.revive(ctx, retry) })
		if certificates {
			p.guard(func() { p.renew(ctx) })
		}
	}
}

// revive brings the chosen program up again when it has ended, and returns when
// to try it next.
func (p *Proxy) revive(ctx context.Context, retry time.Time) time.Time {
	p.changing.Lock()
	defer p.changing.Unlock()
	program, _ := p.find(p.wanted)
	if program == nil || p.front != nil && p.front.process.alive() {
		return time.Time{}
	}
	if p.front != nil {
		p.o.Logger.Error("the proxy ended by itself", zap.String("proxy", p.wanted),
			zap.String("said", tail(filepath.Join(p.front.place.Work, "output.log"))))
		p.front = nil
		// The sockets have been ours all the time: nobody waits for long.
		if err := p.o.Listeners.Resume(); err != nil {
			p.o.Logger.Error("listening again", zap.Error(err))
		}
	}
	if time.Now().Before(retry) {
		return retry
	}
	p.bringUp(ctx, program)
	return time.Now().Add(restartAfter)
}

// renew gets the certificates that are missing or due.
func (p *Proxy) renew(ctx context.Context) {
	if p.o.Certificates == nil {
		return
	}
	p.changing.Lock()
	all := slices.Sorted(maps.Keys(p.hosts()))
	standing := p.front != nil
	p.changing.Unlock()
	if !standing {
		return // our Caddy gets them at handshakes
	}
	go p.guard(func() { // an authority that is slow is no reason not to see the process end
		if !p.certs.refresh(ctx, all) {
			return
		}
		p.changing.Lock()
		defer p.changing.Unlock()
		if p.front == nil {
			return
		}
		if err := p.apply(ctx); err != nil {
			p.o.Logger.Error("giving certificates to the proxy", zap.Error(err))
		}
	})
}

// uncertified are the hosts that have no certificate yet.
func (p *Proxy) uncertified() []string {
	if p.o.Certificates == nil {
		return nil
	}
	var missing []string
	for host := range p.hosts() {
		if len(p.certs.of([]string{host})) == 0 && !strings.HasPrefix(host, "*.") {
			missing = append(missing, host)
		}
	}
	slices.Sort(missing)
	return missing
}

// guard logs a panic instead of letting it end the server.
func (p *Proxy) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			p.o.Logger.Error("panic while looking after the proxy", zap.Any("panic", fmt.Sprint(v)), zap.Stack("stack"))
		}
	}()
	f()
}
