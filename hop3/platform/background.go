package platform

// Begin starts what goes on for as long as the server does. It is called once,
// after Reconcile; Shutdown ends it.
func (p *Platform) Begin() {
	p.Go("tend", p.tendAll)
	p.Go("repair", p.repairAll)
	p.Go("traffic", p.sampleAll)
	p.beginCron()
	p.Go("previews", p.tendPreviews)
	p.Go("webhooks", p.resumeDeliveries)
}
