-- Documents that are pages cut from another invoice's document: whose, and which. The same pages are
-- one document, however they were cut.
alter table documents
  add column source_invoice_id uuid,
  add column first_page int not null default 0,
  add column last_page int not null default 0,
  add foreign key (organization_id, source_invoice_id) references invoices;
create unique index documents_pages
  on documents (organization_id, source_invoice_id, first_page, last_page)
  where source_invoice_id is not null;
