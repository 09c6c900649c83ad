-- Alerts go several ways. Each way has its own ceiling, and a message has to know under which it was written: what may be
-- said is judged again when it goes out. Null: written before there were several, with the facts as they were stored.
alter table delivery add max_tlp text;
create index delivery_channel_due on delivery (channel, priority, id) where state in ('pending', 'sending');
drop index delivery_due;
