package caddymodules

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abilian/hop3/hop3/routing"
)

// trafficCollector gives the counts of the routing table. Their labels are few:
// the apps that there are, and of each the releases that were routed to last.
// Those before are one more, "older", and what is answered while no release
// runs is "none".
type trafficCollector struct {
	table *routing.Table
}

var (
	ofRelease    = []string{"app", "release"}
	requestsDesc = prometheus.NewDesc("hop3_http_requests_total", "Requests answered, by the class of the status; none where the client left before.", []string{"app", "release", "code"}, nil)
	durationDesc = prometheus.NewDesc("hop3_http_request_duration_seconds", "How long requests took, from their header to the end of the answer. A WebSocket is one request.", ofRelease, nil)
	receivedDesc = prometheus.NewDesc("hop3_http_request_bytes_total", "Bytes of requests' bodies.", ofRelease, nil)
	sentDesc     = prometheus.NewDesc("hop3_http_response_bytes_total", "Bytes of answers' bodies, without those of WebSockets.", ofRelease, nil)
	inFlightDesc = prometheus.NewDesc("hop3_http_requests_in_flight", "Requests under way, WebSockets among them.", ofRelease, nil)
	heldDesc     = prometheus.NewDesc("hop3_http_requests_held", "Requests that wait for their app to wake.", []string{"app"}, nil)
	wakesDesc    = prometheus.NewDesc("hop3_app_wakes_total", "How often the app was woken, by result: awake or failed.", []string{"app", "result"}, nil)
)

// classNames are the values of the label code, by routing.Class.
var classNames = []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// exportedBounds are the bounds that are exported, among those that are counted.
var exportedBounds = func() (indices []int) {
	for i, bound := range routing.TimeBounds {
		switch first := leading(bound); {
		case bound < time.Millisecond, first != 1 && first != 2.5 && first != 5:
		default:
			indices = append(indices, i)
		}
	}
	return indices
}()

// leading returns a time as a number from 1 to 10, without its power of ten.
func leading(d time.Duration) float64 {
	unit := time.Duration(1)
	for unit*10 <= d {
		unit *= 10
	}
	return float64(d) / float64(unit)
}

// Describe lists the metrics.
func (c *trafficCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, durationDesc, receivedDesc, sentDesc, inFlightDesc, heldDesc, wakesDesc} {
		ch <- d
	}
}

// Collect gives their values.
func (c *trafficCollector) Collect(ch chan<- prometheus.Metric) {
	for _, app := range c.table.Counts() {
		ch <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(app.Held), app.App)
		ch <- prometheus.MustNewConstMetric(wakesDesc, prometheus.CounterValue, float64(app.Wakes), app.App, "awake")
		ch <- prometheus.MustNewConstMetric(wakesDesc, prometheus.CounterValue, float64(app.FailedWakes), app.App, "failed")
		for _, release := range app.Releases {
			collectRelease(ch, app.App, &release)
		}
	}
}

// collectRelease gives the values of one release, but for the zeros of one that
// has not been asked yet: most apps of a large server are silent.
func collectRelease(ch chan<- prometheus.Metric, app string, c *routing.Counts) {
	release := releaseName(c.Release)
	requests := uint64(0)
	for class, n := range c.Requests {
		requests += n
		if n > 0 {
			ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(n), app, release, classNames[class])
		}
	}
	if requests > 0 || c.InFlight > 0 {
		ch <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(c.InFlight), app, release)
	}
	if requests == 0 {
		return
	}
	ch <- prometheus.MustNewConstMetric(receivedDesc, prometheus.CounterValue, float64(c.Received), app, release)
	ch <- prometheus.MustNewConstMetric(sentDesc, prometheus.CounterValue, float64(c.Sent), app, release)
	buckets, below := make(map[float64]uint64, len(exportedBounds)), uint64(0)
	for i, n := range c.Times[:len(routing.TimeBounds)] {
		if below += n; slices.Contains(exportedBounds, i) {
			buckets[routing.TimeBounds[i].Seconds()] = below
		}
	}
	all := below + c.Times[len(routing.TimeBounds)]
	ch <- prometheus.MustNewConstHistogram(durationDesc, all, c.Took.Seconds(), buckets, app, release)
}

// releaseName is the value of the label release.
func releaseName(number int) string {
	switch number {
	case routing.Older:
		return "older"
	case 0:
		return "none"
	}
	return strconv.Itoa(number)
}
