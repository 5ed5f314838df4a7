package caddymodules

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/accesslog"
	"github.com/abilian/hop3/hop3/platform"
	"github.com/abilian/hop3/hop3/routing"
)

// metricsPath is where Prometheus finds the server's metrics: on the server's
// own hosts, not on those of apps.
const metricsPath = "/metrics"

// metrics answers Prometheus. It is made once, with the server.
type metrics struct {
	platform *platform.Platform
	table    *routing.Table
	host     string   // the server's own
	allow    networks // whose clients need no token
	token    [sha256.Size]byte
	hasToken bool
	page     http.Handler
}

func (c *core) newMetrics() *metrics {
	m := &metrics{platform: c.Platform, table: c.Table, host: c.config.ControlHost(), allow: parseNetworks(c.config.MetricsAllow),
		token: sha256.Sum256(c.config.MetricsToken), hasToken: len(c.config.MetricsToken) > 0}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&trafficCollector{c.Table},
		&platformCollector{c.Platform, c.access.Load(), c.logger.Named("metrics")},
	)
	m.page = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            zap.NewStdLog(c.logger.Named("metrics")),
		MaxRequestsInFlight: 2,
	})
	return m
}

// serve answers a request for the metrics. It returns false when the request is
// an app's.
func (m *metrics) serve(w http.ResponseWriter, r *http.Request) bool {
	if m.table.Lookup(r.Host) != nil {
		return false
	}
	w.Header().Set("Cache-Control", "no-store")
	switch err := m.admit(r); {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The metrics are only read.", http.StatusMethodNotAllowed)
	case hop3.CodeOf(err) == hop3.CodeForbidden:
		http.Error(w, hop3.MessageOf(err), http.StatusForbidden)
	case err != nil:
		w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
		http.Error(w, hop3.MessageOf(err), http.StatusUnauthorized)
	default:
		m.page.ServeHTTP(w, r)
	}
	return true
}

// admit returns an error unless the client may read the metrics: by the token
// of METRICS_TOKEN, that of an administrator, or its address.
func (m *metrics) admit(r *http.Request) error {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		if m.near(r) {
			return nil
		}
		return hop3.Errorf(hop3.CodeUnauthorized, "The metrics want the token of METRICS_TOKEN, or of an administrator.")
	}
	token = strings.TrimSpace(token)
	if sum := sha256.Sum256([]byte(token)); m.hasToken && subtle.ConstantTimeCompare(sum[:], m.token[:]) == 1 {
		return nil
	}
	user, _, err := m.platform.Authenticate(r.Context(), token)
	switch {
	case err != nil:
		return hop3.Errorf(hop3.CodeUnauthorized, "The token is not valid.")
	case !user.Admin:
		return hop3.Errorf(hop3.CodeForbidden, "Admin privileges required")
	}
	return nil
}

// near reports whether the address of the connection is one that needs no
// token. What somebody passes on is not: the address is not the client's then.
// Nor is what a browser could be made to ask by a name that points here.
func (m *metrics) near(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host := hop3.NormalizeHost(r.Host)
	if _, err := netip.ParseAddr(host); err != nil && host != m.host && host != "localhost" {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && m.allow.contain(peer.Addr().Unmap().WithZone(""))
}

// figuresTime is how long what is not in memory may take.
const figuresTime = 8 * time.Second

// platformCollector gives what the platform knows.
type platformCollector struct {
	platform *platform.Platform
	access   *accesslog.Log
	logger   *zap.Logger
}

var (
	infoDesc      = prometheus.NewDesc("hop3_build_info", "The version of the server.", []string{"version"}, nil)
	instancesDesc = prometheus.NewDesc("hop3_app_instances", "Instances that run now, of each process type that should.", []string{"app", "process"}, nil)
	memoryDesc    = prometheus.NewDesc("hop3_app_memory_bytes", "Memory that the app's processes use.", []string{"app"}, nil)
	cpuDesc       = prometheus.NewDesc("hop3_app_cpu_seconds_total", "CPU time that the app's processes have used.", []string{"app"}, nil)
	expiryDesc    = prometheus.NewDesc("hop3_app_certificate_expiry_timestamp_seconds", "When the first certificate of the app's hosts expires.", []string{"app"}, nil)
	droppedDesc   = prometheus.NewDesc("hop3_access_log_dropped_lines_total", "Requests that are not in an access log because the disk was full or slow.", nil, nil)
	deploysDesc   = prometheus.NewDesc("hop3_deploys_total", "Deploys that have ended since the server started, by result: live, failed or canceled.", []string{"result"}, nil)
)

// Describe lists the metrics.
func (c *platformCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{infoDesc, instancesDesc, memoryDesc, cpuDesc, expiryDesc, droppedDesc, deploysDesc} {
		ch <- d
	}
}

// Collect gives their values.
func (c *platformCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	gauge(infoDesc, 1, Version)
	counter(droppedDesc, float64(c.access.Dropped()))
	for result, n := range c.platform.Deploys() {
		counter(deploysDesc, float64(n), result)
	}
	ctx, cancel := context.WithTimeout(context.Background(), figuresTime)
	defer cancel()
	figures, err := c.platform.Figures(ctx)
	if err != nil { // the traffic is worth having nevertheless
		c.logger.Warn("some metrics are missing", zap.Error(err))
		return
	}
	for _, f := range figures {
		for process, n := range f.Instances {
			gauge(instancesDesc, float64(n), f.App, process)
		}
		if f.Measured {
			gauge(memoryDesc, float64(f.Usage.Memory), f.App)
			counter(cpuDesc, f.Usage.CPU.Seconds(), f.App)
		}
		if !f.Expires.IsZero() {
			gauge(expiryDesc, float64(f.Expires.Unix()), f.App)
		}
	}
}
